package production

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cgisession/cmd/cmdtest"
)

// alertRules are the expressions of alerts.yml.
func alertRules(t *testing.T) (expressions []string) {
	t.Helper()
	for _, found := range regexp.MustCompile(`(?m)^        expr: (.+)$`).FindAllStringSubmatch(read(t, "alerts.yml"), -1) {
		expressions = append(expressions, found[1])
	}
	return expressions
}

// A dashboard is what the tests want of Grafana's model of one.
type dashboard struct {
	SchemaVersion int
	Inputs        []struct{ Name, PluginID string } `json:"__inputs"`
	Templating    struct {
		List []struct {
			Name  string
			Query struct{ Query string }
		}
	}
	Panels []struct {
		ID          int
		Type, Title string
		Datasource  struct{ Type, UID string }
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
	}
}

// dashboardQueries returns the expressions of grafana.json, each for all machines.
func dashboardQueries(t *testing.T) (d dashboard, expressions []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			expressions = append(expressions, strings.ReplaceAll(target.Expr, "$instance", ".*"))
		}
	}
	return d, expressions
}

// Each alert fires when it should, and only then.
func TestAlerts(t *testing.T) {
	needs(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "testdata/alerts_test.yml"}} {
		if text, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, text)
		}
	}
	tests := read(t, "testdata/alerts_test.yml")
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, "alerts.yml"), -1) {
		for _, want := range []string{` \[\]`, `\n +- exp_labels`} {
			if !regexp.MustCompile("alertname: " + alert[1] + "\n +exp_alerts:" + want).MatchString(tests) {
				t.Errorf("no test in which %s has exp_alerts:%s", alert[1], want)
			}
		}
	}
}

// Each number and label that an alert or the dashboard asks for is one that stats prints.
func TestNumbersAskedFor(t *testing.T) {
	r := cmdtest.Request{Dir: t.TempDir()}
	r.Must(t, "load", "--adopt-id", "session-number-one")
	printed := r.Must(t, "stats", "--deep", "--prometheus", "--timeout", "30m")
	_, queries := dashboardQueries(t)
	expressions := append(alertRules(t), queries...)
	if len(expressions) != 7+10 {
		t.Errorf("%d expressions", len(expressions))
	}
	asked := make(map[string]bool)
	for _, expression := range expressions {
		for _, name := range regexp.MustCompile(`cgisession_\w+`).FindAllString(expression, -1) {
			asked[name] = true
			if !regexp.MustCompile(`(?m)^` + name + `[ {]`).MatchString(printed) {
				t.Errorf("stats prints no %s, which is asked for by %s", name, expression)
			}
		}
		for _, states := range regexp.MustCompile(`state=~?"([^"]*)"`).FindAllStringSubmatch(expression, -1) {
			for state := range strings.SplitSeq(states[1], "|") {
				if !strings.Contains(printed, `cgisession_files{state="`+state+`"} `) {
					t.Errorf("stats knows no state %s, which is asked for by %s", state, expression)
				}
			}
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (\w+) gauge$`).FindAllStringSubmatch(printed, -1) {
		if name := line[1]; !asked[name] && name != "cgisession_deep" {
			t.Errorf("neither an alert nor the dashboard shows %s", name)
		}
	}
}

// Prometheus can read each expression of the dashboard, and Grafana imports it.
func TestDashboard(t *testing.T) {
	d, queries := dashboardQueries(t)
	if d.SchemaVersion != 38 || len(d.Inputs) != 1 || d.Inputs[0].PluginID != "prometheus" || len(d.Templating.List) != 1 {
		t.Errorf("%+v", d)
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.Datasource.UID != "${"+d.Inputs[0].Name+"}" {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s covers %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	needs(t, "promtool")
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: queries\n    rules:\n")
	for _, query := range queries {
		quoted, _ := json.Marshal(query)
		fmt.Fprintf(&rules, "      - record: query\n        expr: %s\n        labels: {of: %s}\n", quoted, quoted)
	}
	path := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("promtool", "check", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
