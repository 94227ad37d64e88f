//go:build redis && linux

package program

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"cgisession/store/redis/redistest"
)

// TestEncryption has doctor say to which servers sessions go in plain text: those on
// other machines, whether the URL names them, a Sentinel, or a cluster.
func TestEncryption(t *testing.T) {
	server := redistest.Start(t)
	sentinel := redistest.StartSentinel(t, fmt.Sprintf("sentinel monitor sessions 127.0.0.1 %d 1", server.Port))
	_, port, _ := strings.Cut(server.Addr(), ":")
	nodes := redistest.Cluster(t, 3)
	for _, tt := range []struct {
		url   string
		warns string // the address; empty: no warning
	}{
		{server.URL(), ""},
		{"redis://localhost:" + port, ""},
		{"redis://[::1]:" + port, ""},
		{"redis://[::ffff:127.0.0.1]:" + port, ""},
		{"redis://0.0.0.0:" + port, ""},
		{"redis://sessions.localhost:" + port, ""},
		{"redis://" + ownAddress(t) + ":" + port, ""},
		{"unix:///nowhere/socket", ""},
		{nodes[0].URL() + "?addr=" + nodes[1].Addr(), ""},
		{"redis+sentinel://" + sentinel.Addr() + "?master_name=sessions", ""},
		{"redis://sessions.invalid", "sessions.invalid:6379"},
		{"redis://localhost.sessions.invalid", "localhost.sessions.invalid:6379"},
		{"redis://:a-long-password@sessions.invalid:1/2", "sessions.invalid:1"},
		{"redis://[2001:db8::1]:1", "[2001:db8::1]:1"},
		{"redis://127.0.0.1:1?addr=sessions.invalid:2", "sessions.invalid:2"},
		{"redis+sentinel://sessions.invalid:3?master_name=sessions", "sessions.invalid:3"},
		{"rediss://sessions.invalid", ""},
		{"rediss+sentinel://sessions.invalid:3?master_name=sessions", ""},
	} {
		got := on(tt.url).Call(t, "doctor")
		_, after, found := strings.Cut(got.Stdout, "warning  encryption: none on the way to ")
		if found != (tt.warns != "") || !strings.HasPrefix(after, tt.warns) {
			t.Errorf("%s: %+v; want a warning about %q", tt.url, got, tt.warns)
		}
		if strings.Contains(got.Stdout+got.Stderr, "a-long-password") {
			t.Errorf("it repeats the password: %+v", got)
		}
	}
}

// TestEncryptionNamed has a Sentinel on this machine name a master on another.
func TestEncryptionNamed(t *testing.T) {
	sentinel := redistest.StartSentinel(t, "sentinel monitor sessions 203.0.113.1 4 1")
	got := on("redis+sentinel://"+sentinel.Addr()+"?master_name=sessions").Call(t, "doctor")
	if !strings.Contains(got.Stdout, "warning  encryption: none on the way to 203.0.113.1:4: ") {
		t.Errorf("%+v", got)
	}
}

// ownAddress returns an address of this machine that is not a loopback one; where
// there is none, it is one.
func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && ip.To4() != nil && !ip.IsLoopback() {
			return ip.String()
		}
	}
	return "127.0.0.1"
}
