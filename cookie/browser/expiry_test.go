//go:build linux

package browser

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

const cap400 = 400 * 24 * time.Hour

// A client keeps a cookie for as long as the program says, and both attributes
// that say so mean the same.
func TestExpiry(t *testing.T) {
	tests := []struct {
		expires string
		lasts   time.Duration // 0: as long as the client runs
	}{
		{"true", 0},
		{"false", cap400},
		{"90", 90 * time.Second},
		{"36h", 36 * time.Hour},
		{"7d", 7 * 24 * time.Hour},
		{"401d", cap400},
		{date(10 * 24 * time.Hour), 10 * 24 * time.Hour},
		{date(500 * 24 * time.Hour), cap400},
	}
	for _, test := range tests {
		t.Run(test.expires, func(t *testing.T) {
			onEachClient(t, func(t *testing.T, c client) {
				w := newWeb(t)
				w.configure("CGISESSION_COOKIE_EXPIRES=" + test.expires)
				from := time.Now()
				c.visit(t, w.at("http://app.example.test/load"))
				to := time.Now()

				line := w.last(t, "http://app.example.test/load").set[0]
				got := one(t, c)
				if test.lasts == 0 {
					if !got.Session || strings.Contains(line, "Expires") || strings.Contains(line, "Max-Age") {
						t.Errorf("%s\nis kept as %+v", line, got)
					}
					return
				}
				printed, err := http.ParseSetCookie(line)
				if err != nil {
					t.Fatal(err)
				}
				// A fixed date comes nearer before this row is run.
				age := time.Duration(printed.MaxAge) * time.Second
				if age > test.lasts || age < test.lasts-2*cmdtest.Patience {
					t.Errorf("%s\nlasts %v, not %v", line, age, test.lasts)
				}
				first, last := from.Add(age-time.Second), to.Add(age+time.Second)
				for what, end := range map[string]time.Time{
					"Expires":      printed.Expires,
					"what is kept": time.Unix(expiry(t, c, printed.Name), 0),
				} {
					if end.Before(first) || end.After(last) {
						t.Errorf("%s\n%s ends at %v, not from %v to %v", line, what, end, first, last)
					}
				}

				// Expires alone, which is all that old clients know.
				old := strings.NewReplacer(printed.Name, "old", "; Max-Age="+strconv.Itoa(printed.MaxAge), "").Replace(line)
				c.visit(t, w.hand("http://app.example.test/", old))
				if end := time.Unix(expiry(t, c, "old"), 0); end.Before(first) || end.After(last) {
					t.Errorf("%s\nends at %v, not from %v to %v", old, end, first, last)
				}
			})
		})
	}
}

func date(in time.Duration) string { return time.Now().Add(in).UTC().Format(time.RFC3339) }

// expiry returns when the page's cookie of this name ends, in Unix seconds.
func expiry(t *testing.T, c client, name string) int64 {
	t.Helper()
	if b, ok := c.(*browser); ok {
		return b.expiry(t, name)
	}
	for _, cookie := range c.jar(t) {
		if cookie.Name == name {
			return int64(cookie.Expires)
		}
	}
	t.Fatalf("no cookie %s", name)
	return 0
}

// 400 days are what Chromium cuts a lifetime to: more would be said in vain.
func TestCap(t *testing.T) {
	b, w := newBrowser(t), newWeb(t)
	from := time.Now()
	b.visit(t, w.hand("http://app.example.test/", "id=x; Max-Age=99999999"))
	to := time.Now()
	end := time.Unix(b.expiry(t, "id"), 0)
	if end.Before(from.Add(cap400-time.Second)) || end.After(to.Add(cap400+time.Second)) {
		t.Errorf("1157 days are cut to %v", end.Sub(from))
	}
}

// load sends a cookie that lasts for a time again, and it lasts longer.
func TestSliding(t *testing.T) {
	onEachClient(t, func(t *testing.T, c client) {
		w := newWeb(t)
		const page = "http://app.example.test/load"
		w.configure("CGISESSION_COOKIE_EXPIRES=36h")
		c.visit(t, w.at(page))
		first := one(t, c)
		cmdtest.Until(t, "later expiry", func() bool {
			c.visit(t, w.at(page))
			return one(t, c).Expires > first.Expires
		})
		if got := one(t, c); got.Value != first.Value {
			t.Error("the session is another")
		}
	})
}

// A cookie whose time is over is dropped, and not before.
func TestRunsOut(t *testing.T) {
	cmdtest.Long(t)
	onEachClient(t, func(t *testing.T, c client) {
		w := newWeb(t)
		const page = "http://app.example.test/"
		lasts := 2 * time.Second
		var start time.Time
		for {
			w.configure("CGISESSION_COOKIE_EXPIRES=" + lasts.String())
			start = time.Now()
			c.visit(t, w.at(page+"load"))
			c.visit(t, w.at(page))
			if w.last(t, page).sent != "" {
				break
			}
			if time.Since(start) < lasts-time.Second || lasts > cmdtest.Patience {
				t.Fatalf("the cookie is not sent after %v", time.Since(start))
			}
			lasts *= 2 // this machine is slow
		}
		cmdtest.Until(t, "end of the cookie", func() bool {
			c.visit(t, w.at(page))
			return w.last(t, page).sent == ""
		})
		if took := time.Since(start); took < lasts-time.Second {
			t.Errorf("it is over after %v, not %v", took, lasts)
		}
		if jar := c.jar(t); len(jar) > 0 {
			t.Errorf("kept is %+v", jar)
		}
		if got := c.visit(t, w.at(page+"load")); got != "exit 0, visit 1" {
			t.Errorf("the session goes on: %s", got)
		}
	})
}

// A cookie without an expiry date ends with the client, and no other does.
func TestRestart(t *testing.T) {
	cmdtest.Long(t)
	onEachClient(t, func(t *testing.T, c client) {
		w := newWeb(t)
		const page = "https://app.example.test/"
		cookies := map[string]string{"session": "true", "never": "false", "hours": "36h", "date": date(100 * time.Hour)}
		load := func(name string) string {
			w.configure("CGISESSION_COOKIE_NAME="+name, "CGISESSION_COOKIE_EXPIRES="+cookies[name])
			return c.visit(t, w.at(page+"load"))
		}
		for name := range cookies {
			if got := load(name); got != "exit 0, visit 1" {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := names(c.jar(t)); len(got) != len(cookies) {
			t.Errorf("only %v are kept", got)
		}

		c.restart(t)
		c.visit(t, w.at(page))
		if got, want := names(c.jar(t)), []string{"date", "hours", "never"}; !slices.Equal(got, want) {
			t.Errorf("kept are %v, not %v", got, want)
		}
		for name, expires := range cookies {
			want := "exit 0, visit 2"
			if expires == "true" {
				want = "exit 0, visit 1"
			}
			if got := load(name); got != want {
				t.Errorf("%s: %s, not %s", name, got, want)
			}
		}
	})
}
