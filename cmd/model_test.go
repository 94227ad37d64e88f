package cmd_test

import (
	"fmt"
	"strings"
	"testing"

	"cgisession/cmd/modeltest"
)

// TestModel has the program and a simple second implementation of its command line
// do the same random steps.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := request{dir: t.TempDir()}
			modeltest.Compare(t, seed, full(150, 5000), modeltest.Target{
				Run: func(variables []string, stdin string, args ...string) (string, int) {
					c := r.command(program, args...)
					c.Env = append(c.Env, variables...)
					c.Stdin = strings.NewReader(stdin)
					got := finish(t, c)
					return got.stdout, got.code
				},
				Age: func(id string) { age(t, r.file(id)) },
			})
		})
	}
}
