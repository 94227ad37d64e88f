package cmd_test

import (
	"fmt"
	"os"
	"testing"

	"cgisession/cmd/cmdtest"
)

// Where the file system cannot check in the rename that a name is free, of several
// calls that want one name one gets it all the same, and the others keep what they had.
func TestNewIDWithoutNoReplace(t *testing.T) {
	needStrace(t)
	const movers = 6
	r := begin(t, `{}`).client("")
	for round, refused := range []string{"EINVAL", "ENOSYS", "EINVAL", "ENOSYS"} {
		name := fmt.Sprintf("the-name-they-want-%d", round)
		of := func(i int) request {
			return r.with(fmt.Sprintf("CGISESSION_ADOPT_ID=mover-%d-of-round-%d", i, round))
		}
		for i := range movers {
			of(i).Must(t, "set", fmt.Sprintf("n:=%d", i))
		}
		answers := make([]cmdtest.Ended, movers)
		cmdtest.AtOnce(movers, func(i int) {
			answers[i] = cmdtest.Finish(t, of(i).Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=renameat2",
				"-e", "inject=renameat2:error="+refused, cmdtest.Program, "regenerate", "--new-id", name))
		})
		won := 0
		for i, got := range answers {
			keeper := of(i)
			switch got.Code {
			case 0:
				won++
				keeper = r.with("CGISESSION_ADOPT_ID=" + name)
			case 64:
			default:
				t.Errorf("mover %d: %+v", i, got)
			}
			if got := keeper.Call(t, "get", "n"); got.Stdout != fmt.Sprintf("%d\n", i) {
				t.Errorf("%s: the session of mover %d: %+v", refused, i, got)
			}
		}
		live, others := r.files(t)
		if won != 1 || len(live)+len(others) != 1+movers*(round+1) {
			t.Errorf("%s: %d sessions have the name; there are %d and %d files", refused, won, len(live), len(others))
		}
	}
}
