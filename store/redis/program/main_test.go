//go:build redis && linux

// Package program runs the program as a web server would, many processes at
// once, against real servers that fail.
package program

import (
	"testing"

	"cgisession/cmd/cmdtest"
	"cgisession/cmd/scripttest"
	"cgisession/store"
)

func TestMain(m *testing.M) {
	scripttest.Main(func() int {
		return cmdtest.Run(m.Run, cmdtest.Both("../../../scripts/build"))
	}, nil)
}

// on returns a request whose sessions are on this server.
func on(url string, settings ...string) cmdtest.Request {
	return cmdtest.Request{Env: []string{"CGISESSION_TYPE=redis", "CGISESSION_REDIS_URL=" + url}}.With(settings...)
}

// visitorOn returns a request of a script that names the visitor's session.
func visitorOn(url string, settings ...string) cmdtest.Request {
	return on(url, "CGISESSION_ADOPT_ID="+cmdtest.Visitor).With(settings...)
}

// idOf returns the id of the new session that a call printed; empty: of none.
func idOf(head string) string {
	for _, id := range cmdtest.NewIDs(head) {
		return id
	}
	return ""
}

func handleOf(id string) string { return store.Handle("cgisession_id", id) }

func keyOf(id string) string { return "cgisession:{" + handleOf(id) + "}" }
