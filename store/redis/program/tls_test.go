//go:build redis && linux

package program

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
	"cgisession/store/redis/redistest"
)

// TestTLS has a server with a certificate of its own authority.
func TestTLS(t *testing.T) {
	good, other := newAuthority(t), newAuthority(t)
	url := "rediss://" + redistest.Start(t, good.certify(t, "127.0.0.1").settings(t)...).Addr()
	mistaken := "rediss://" + redistest.Start(t, other.certify(t, "127.0.0.2").settings(t)...).Addr()
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<40); err != nil {
		t.Fatal(err)
	}
	s := visitorOn(url, "CGISESSION_REDIS_CA_FILE="+good.ca)
	s.Must(t, "set", "a=1")
	if got := s.Must(t, "get", "a"); got != `"1"` {
		t.Errorf("get: %s", got)
	}
	for _, tt := range []struct {
		name string
		site cmdtest.Request
		code int
		says string
	}{
		{"no authority", visitorOn(url), 69, "certificate signed by unknown authority"},
		{"another authority", visitorOn(url, "CGISESSION_REDIS_CA_FILE="+other.ca), 69, "certificate signed by unknown authority"},
		{"another name", visitorOn(mistaken, "CGISESSION_REDIS_CA_FILE="+other.ca), 69, "certificate is valid for 127.0.0.2, not 127.0.0.1"},
		{"without TLS", visitorOn(strings.Replace(url, "rediss:", "redis:", 1)), 69, "store unavailable"},
		{"no verification", visitorOn(url + "?skip_verify=true"), 78, "certificates are always verified"},
		{"no such file", visitorOn(url, "CGISESSION_REDIS_CA_FILE=nowhere"), 78, "CA file nowhere: no such file"},
		{"an endless file", visitorOn(url, "CGISESSION_REDIS_CA_FILE=/dev/zero"), 78, "CA file /dev/zero: not a regular file"},
		{"a large file", visitorOn(url, "CGISESSION_REDIS_CA_FILE="+large), 78, "larger than 1048576 bytes"},
		{"no certificate", visitorOn(url, "CGISESSION_REDIS_CA_FILE=tls_test.go"), 78, "holds no certificate"},
	} {
		got := promptly(t, tt.site, "set", "a=2")
		if got.Code != tt.code || !strings.Contains(got.Stderr, tt.says) || strings.Count(got.Stderr, "\n") != 1 {
			t.Errorf("%s: %+v; want %d, %s", tt.name, got, tt.code, tt.says)
		}
	}
}

// TestTLSSentinel has Sentinel name a server at another address: its certificate is
// for that, and not for the URL's.
func TestTLSSentinel(t *testing.T) {
	a := newAuthority(t)
	master := redistest.Start(t, append(a.certify(t, "127.0.0.2").settings(t), "--bind", "127.0.0.2")...)
	sentinel := redistest.StartSentinel(t, a.certify(t, "127.0.0.1").lines("",
		"tls-replication yes",
		"sentinel monitor sessions 127.0.0.2 "+strconv.Itoa(master.Port)+" 1")...)
	s := visitorOn("rediss+sentinel://"+sentinel.Addr()+"?master_name=sessions", "CGISESSION_REDIS_CA_FILE="+a.ca)
	s.Must(t, "set", "a=1")

	// A master with the certificate of another address is none.
	master.Kill()
	redistest.Start(t, append(a.certify(t, "127.0.0.1").settings(t), "--bind", "127.0.0.2", "--tls-port", strconv.Itoa(master.Port))...)
	mustMistrust(t, s, "127.0.0.1, not 127.0.0.2")
}

func mustMistrust(t *testing.T, s cmdtest.Request, says string) {
	t.Helper()
	got := s.Call(t, "set", "a=1")
	if got.Code != 69 || !strings.Contains(got.Stderr, says) || strings.Count(got.Stderr, "\n") != 1 {
		t.Errorf("set: %+v; want 69, %s", got, says)
	}
}

// TestTLSCluster has a cluster whose servers have an address and a certificate
// each.
func TestTLSCluster(t *testing.T) {
	a := newAuthority(t)
	var nodes []*redistest.Server
	for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
		settings := append(a.certify(t, host).settings(t), "--bind", host, "--cluster-announce-ip", host, "--tls-cluster", "yes")
		nodes = append(nodes, redistest.Start(t, append(settings, redistest.ClusterSettings()...)...))
	}
	redistest.Join(t, nodes)
	s := visitorOn("rediss+cluster://"+nodes[0].Addr(), "CGISESSION_REDIS_CA_FILE="+a.ca)
	for i := range 20 { // some on each server
		s.Must(t, "set", "a=1", "--adopt-id", "session-of-the-cluster-"+strconv.Itoa(i))
	}
	if got := strings.Count(s.Must(t, "list"), " live"); got != 20 {
		t.Errorf("list has %d sessions; want 20", got)
	}
	mustMistrust(t, visitorOn("rediss+cluster://"+nodes[0].Addr(), "CGISESSION_REDIS_CA_FILE="+newAuthority(t).ca), "unknown authority")
}

// An authority certifies servers.
type authority struct {
	ca   string // file
	root *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{filepath.Join(t.TempDir(), "ca"), root, newKey(t)}
	write(t, a.ca, "CERTIFICATE", sign(t, root, root, a.key, a.key))
	return a
}

// certified are the files of a server's certificate.
type certified struct{ ca, cert, key string }

// certify makes the certificate of a server at an address.
func (a *authority) certify(t *testing.T, ip string) certified {
	t.Helper()
	dir, key := t.TempDir(), newKey(t)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP(ip)}}
	text, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := certified{a.ca, filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
	write(t, c.cert, "CERTIFICATE", sign(t, leaf, a.root, key, a.key))
	write(t, c.key, "EC PRIVATE KEY", text)
	return c
}

// lines are the settings for the certificate, a line each, and others.
func (c certified) lines(before string, others ...string) []string {
	return append([]string{before + "tls-auth-clients no", before + "tls-ca-cert-file " + c.ca,
		before + "tls-cert-file " + c.cert, before + "tls-key-file " + c.key}, others...)
}

// settings are those of a server that has the certificate, on a port of TLS alone.
func (c certified) settings(t *testing.T) []string {
	return strings.Fields(strings.Join(c.lines("--", "--port 0", "--tls-port "+strconv.Itoa(cmdtest.FreePort(t))), " "))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, what, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) []byte {
	text, err := x509.CreateCertificate(rand.Reader, what, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, file, kind string, text []byte) {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: text}), 0o600); err != nil {
		t.Fatal(err)
	}
}
