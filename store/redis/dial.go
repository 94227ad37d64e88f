//go:build redis

package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// dial connects to a server.
type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns what connects to each server, with TLS unless t is nil.
func (c Config) dialer(t *tls.Config) (dial, error) {
	if err := c.trust(t); err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !isAddress(addr) {
			return nil, errNoRedis
		}
		conn, err := connect(ctx, network, addr, t)
		if err != nil {
			return nil, dialError{err}
		}
		return guarded(conn, c.largest), nil
	}, nil
}

// connect connects to a server. With TLS the server has to show a certificate for
// the very address by which it is reached, which Sentinel or the cluster may have
// named.
func connect(ctx context.Context, network, addr string, t *tls.Config) (net.Conn, error) {
	tcp, err := (&net.Dialer{Timeout: answerTime}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn := &patientConn{Conn: tcp}
	if t == nil {
		return conn, nil
	}
	t = t.Clone()
	if t.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		t.ServerName = addr
	}
	secure := tls.Client(conn, t)
	secure.SetReadDeadline(time.Now().Add(answerTime))
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	secure.SetReadDeadline(time.Time{})
	return secure, nil
}

// isAddress reports whether a text, which another server may have sent, can be the
// address of one: a host name has up to 255 bytes (RFC 1035, section 2.3.4).
func isAddress(text string) bool {
	blank := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(text) <= 300 && !strings.ContainsFunc(text, blank)
}

// trust prepares TLS, if it is used: it trusts only the authority that was named.
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

// A patientConn reads what has come even when the deadline is over: this process may
// have been stopped, or have waited for the processor, while the answer lay there.
type patientConn struct {
	net.Conn
	deadline time.Time // for reading
}

func (c *patientConn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetDeadline(t)
}

func (c *patientConn) SetReadDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

func (c *patientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n == 0 && isTimeout(err) {
		return c.readArrived(p, err)
	}
	return n, err
}

// readArrived is a read(2) that does not wait; late is the error if nothing is there.
// A connection whose deadline is over refuses to read, so that is taken off
// meanwhile.
func (c *patientConn) readArrived(p []byte, late error) (n int, err error) {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0, late
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, late
	}
	c.Conn.SetReadDeadline(time.Time{})
	defer c.Conn.SetReadDeadline(c.deadline)
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, failed = syscall.Read(int(fd), p)
		return true
	})
	switch {
	case err != nil || failed != nil:
		return 0, late
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}
