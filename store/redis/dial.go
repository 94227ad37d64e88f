//go:build redis

package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"
)

// dial connects to a server: of a network, "tcp" or "unix", at an address, HOST:PORT or a
// path. The library calls it with the context of the request that needs the connection.
type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns what connects to each server, with TLS unless t is nil. Every
// connection is guarded. An address that is none is errNoRedis, for it came from another
// server; any other failure is a dialError.
func (c Config) dialer(t *tls.Config) (dial, error) {
	if err := c.trust(t); err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !isAddress(addr) {
			return nil, errNoRedis
		}
		if t == nil && network == "tcp" {
			c.exposed.add(addr)
		}
		conn, err := connect(ctx, network, addr, t)
		if err != nil {
			return nil, dialError{err}
		}
		return guarded(conn, c.largest), nil
	}, nil
}

// connect connects to a server, within the time of the request, and answerTime each for
// the connection and the handshake. With TLS the server has to show a certificate for
// the very address of the connection, which Sentinel or the cluster may have named.
//
// The context of a request is never cancelled, so only its deadline counts.
func connect(ctx context.Context, network, addr string, t *tls.Config) (net.Conn, error) {
	end, _ := ctx.Deadline()
	plain, err := (&net.Dialer{Timeout: answerTime, Deadline: end}).Dial(network, addr)
	if err != nil {
		return nil, err
	}
	conn := &patientConn{Conn: plain}
	if t == nil {
		return conn, nil
	}
	t = t.Clone()
	if t.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		t.ServerName = addr
	}
	secure := tls.Client(conn, t)
	secure.SetDeadline(time.Now().Add(answerTime))
	if err := secure.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	secure.SetDeadline(time.Time{})
	return secure, nil
}

// isAddress reports whether a text, which another server may have sent, can be the
// address of one: a host name has up to 255 bytes (RFC 1035, section 2.3.4).
func isAddress(text string) bool {
	blank := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(text) <= 300 && !strings.ContainsFunc(text, blank)
}

// trust prepares TLS, if it is used: version 1.2 or later, and trust in the authorities
// of CA alone, or in the system's if that is nil.
func (c Config) trust(t *tls.Config) error {
	switch {
	case t == nil && c.CA != nil:
		return errors.New("--redis-ca-file goes with TLS, a URL of the scheme rediss")
	case t == nil:
		return nil
	}
	t.MinVersion = tls.VersionTLS12
	if c.CA == nil {
		return nil
	}
	t.RootCAs = x509.NewCertPool()
	if !t.RootCAs.AppendCertsFromPEM(c.CA) {
		return errors.New("--redis-ca-file holds no certificate in PEM")
	}
	return nil
}

// A patientConn reads on for lateTime after its deadline: this process may have been
// stopped, or have waited for the processor, while the answer came in time.
type patientConn struct {
	net.Conn
	late bool // the deadline is over, and was put off
}

// lateTime is enough to read an answer that is there already, so it does not make an
// answer that does not come much later.
const lateTime = 50 * time.Millisecond

func (c *patientConn) SetDeadline(t time.Time) error {
	c.late = false
	return c.Conn.SetDeadline(t)
}

func (c *patientConn) SetReadDeadline(t time.Time) error {
	c.late = false
	return c.Conn.SetReadDeadline(t)
}

func (c *patientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 || !isTimeout(err) || c.late {
		return n, err
	}
	c.late = true
	c.Conn.SetReadDeadline(time.Now().Add(lateTime))
	return c.Conn.Read(p)
}
