package cmd_test

import (
	"fmt"
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/cmd/modeltest"
)

// TestModel has the program and a simple second implementation of its command line
// do the same random steps.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := in(t.TempDir())
			age := func(id string) { age(t, r.file(id)) }
			modeltest.Compare(t, seed, cmdtest.Full(150, 5000), modeltest.Target{Request: r.Request, Age: age})
		})
	}
}
