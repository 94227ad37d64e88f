//go:build redis

package redis

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"cgisession/store"
)

// An exposed collects the addresses of the servers that were called without TLS over a
// network: those of the URL, and those that Sentinel or a cluster named.
type exposed struct {
	mu    sync.Mutex
	addrs []string // HOST:PORT each
}

func (e *exposed) add(addr string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.addrs, addr) {
		e.addrs = append(e.addrs, addr)
	}
}

// others returns those that are not on this machine.
func (e *exposed) others() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(slices.Values(e.addrs)), isHere)
}

// isHere reports whether an address is one of this machine. A name counts as another
// machine's, except localhost and those below it (RFC 6761, section 6.3).
func isHere(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		name := "." + strings.TrimSuffix(strings.ToLower(host), ".")
		return strings.HasSuffix(name, ".localhost")
	}
	if ip = ip.Unmap().WithZone(""); ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	own, _ := net.InterfaceAddrs() // without them, every other address is elsewhere
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		network, err := netip.ParsePrefix(a.String())
		return err == nil && network.Addr().Unmap() == ip
	})
}

// encryption says to which servers the sessions go in plain text.
func (s *Store) encryption(findings *store.Findings) {
	for _, addr := range s.exposed.others() {
		findings.Say(store.Warning, "encryption", "none on the way to %s: others there can read and change the "+
			"sessions, and read the password; set redis-url = rediss://HOST:PORT, for which the server needs TLS", addr)
	}
}
