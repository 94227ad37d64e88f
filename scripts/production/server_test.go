package production

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// A server is a web server and how it is started on a machine. Its snippet is
// put into the least configuration in which it can work.
type server struct {
	name     string
	programs []string
	start    func(t *testing.T, m *machine, https bool) []*exec.Cmd

	// What the page says of it.
	https       bool // it can do that itself
	underscores bool // header fields with underscores come through
	proxy       bool // the header field Proxy comes through
}

var servers = []server{
	{"apache", []string{"apache2"}, apache, true, false, false},
	{"nginx", []string{"nginx", "fcgiwrap"}, nginx, true, false, false},
	{"lighttpd", []string{"lighttpd"}, lighttpd, true, true, false},
	{"lighttpd, 10-cgi.conf", []string{"lighttpd"}, lighttpdWithCGI, true, true, false},
	{"busybox", []string{"busybox"}, busybox, false, true, true},
}

// fresh are servers that make a new environment for each script, so that only the
// configuration file can reach it.
var fresh = []server{
	{name: "mini_httpd", programs: []string{"mini_httpd"}, start: miniHTTPD},
	{name: "as suexec", programs: []string{"lighttpd"}, start: likeSuexec},
}

// suexec starts a script with few variables, as suexec does.
const suexec = `#!/bin/sh
exec env -i PATH=/usr/local/bin:/usr/bin:/bin GATEWAY_INTERFACE=CGI/1.1 HTTP_COOKIE="$HTTP_COOKIE" \
	QUERY_STRING="$QUERY_STRING" REMOTE_ADDR="$REMOTE_ADDR" REMOTE_PORT="$REMOTE_PORT" \
	REQUEST_METHOD="$REQUEST_METHOD" REQUEST_URI="$REQUEST_URI" SCRIPT_NAME="$SCRIPT_NAME" "$@"
`

func likeSuexec(t *testing.T, m *machine, https bool) []*exec.Cmd {
	write(t, m.path("/installed/suexec"), suexec, 0o755)
	commands := lighttpd(t, m, https)
	snippet := m.path("/installed/lighttpd.conf")
	text := read(t, snippet)
	changed := strings.Replace(text, `cgi.assign = ("" => "")`, `cgi.assign = ("" => "`+m.path("/installed/suexec")+`")`, 1)
	if changed == text {
		t.Fatal("no cgi.assign")
	}
	write(t, snippet, changed, 0o644)
	return commands
}

func apache(t *testing.T, m *machine, https bool) []*exec.Cmd {
	conf := fmt.Sprintf(`ServerRoot %q
ServerName localhost
Listen %s
DefaultRuntimeDir %q
PidFile apache.pid
ScriptSock cgid.socket
ErrorLog /dev/stderr
User www-data
Group www-data
`, m.root, m.address(), m.path("/run"))
	for _, module := range []string{"mpm_event", "authz_core", "env", "alias", "cgid", "ssl", "socache_shmcb"} {
		conf += fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", module, module)
	}
	conf += "<VirtualHost *:*>\n"
	if https {
		conf += fmt.Sprintf("SSLEngine on\nSSLCertificateFile %s\n", certificate(t, m))
	}
	conf += "Include " + m.install(t, "apache.conf") + "\n</VirtualHost>\n"
	write(t, m.path("/etc/apache.conf"), conf, 0o644)
	return []*exec.Cmd{exec.Command("apache2", "-D", "FOREGROUND", "-f", m.path("/etc/apache.conf"))}
}

func nginx(t *testing.T, m *machine, https bool) []*exec.Cmd {
	listen := m.address()
	if https {
		listen += fmt.Sprintf(" ssl; ssl_certificate %[1]s; ssl_certificate_key %[1]s", certificate(t, m))
	}
	conf := fmt.Sprintf("user www-data; daemon off; error_log stderr; pid %s; events {}\nhttp {\naccess_log off;\n", m.path("/run/nginx.pid"))
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += fmt.Sprintf("%s_temp_path %s;\n", what, m.path("/tmp/"+what))
	}
	conf += fmt.Sprintf("server {\nlisten %s;\ninclude %s;\n}\n}\n", listen, m.install(t, "nginx.conf"))
	write(t, m.path("/etc/nginx.conf"), conf, 0o644)
	// As Debian's unit has it, but with several workers.
	socket := m.path("/run/fcgiwrap.socket")
	if err := os.Chown(m.path("/run"), 33, 33); err != nil {
		t.Fatal(err)
	}
	wrap := exec.Command("fcgiwrap", "-f", "-c", "4", "-s", "unix:"+socket)
	wrap.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 33, Gid: 33}}
	return []*exec.Cmd{wrap, exec.Command("nginx", "-e", "stderr", "-p", m.root, "-c", m.path("/etc/nginx.conf"))}
}

// lighttpdWithCGI is lighttpd where Debian's own configuration of CGI is enabled too
// (lighty-enable-mod cgi).
func lighttpdWithCGI(t *testing.T, m *machine, https bool) []*exec.Cmd {
	const debian = "/etc/lighttpd/conf-available/10-cgi.conf"
	if _, err := os.Stat(debian); err != nil {
		t.Skip(err)
	}
	text := strings.ReplaceAll(read(t, debian), "/usr/lib", m.path("/usr/lib"))
	write(t, m.path("/etc/10-cgi.conf"), text, 0o644)
	return lighttpdAfter(t, m, https, fmt.Sprintf("include %q\n", m.path("/etc/10-cgi.conf")))
}

func lighttpd(t *testing.T, m *machine, https bool) []*exec.Cmd {
	return lighttpdAfter(t, m, https, "")
}

// lighttpdAfter is lighttpd with this text before the snippet.
func lighttpdAfter(t *testing.T, m *machine, https bool, before string) []*exec.Cmd {
	conf := fmt.Sprintf(`server.document-root = %q
server.bind = "127.0.0.1"
server.port = %d
server.username = "www-data"
server.groupname = "www-data"
%sinclude %q
`, m.path("/var/www"), m.port, before, m.install(t, "lighttpd.conf"))
	if https {
		conf += fmt.Sprintf("server.modules += (\"mod_openssl\")\nssl.engine = \"enable\"\nssl.pemfile = %q\n", certificate(t, m))
	}
	write(t, m.path("/etc/lighttpd.conf"), conf, 0o644)
	// What it says of its configuration would be lost among its other messages.
	if text := m.run(t, "lighttpd", "-tt", "-f", m.path("/etc/lighttpd.conf")); text != "" {
		t.Errorf("lighttpd says: %s", text)
	}
	return []*exec.Cmd{exec.Command("lighttpd", "-D", "-f", m.path("/etc/lighttpd.conf"))}
}

func busybox(t *testing.T, m *machine, _ bool) []*exec.Cmd {
	return []*exec.Cmd{exec.Command("sh", m.install(t, "busybox.sh"))}
}

// certificate makes a file with a key and a certificate that nobody has signed.
func certificate(t *testing.T, m *machine) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	signed, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})...)
	file := m.path("/etc/certificate.pem")
	write(t, file, string(text), 0o600)
	return file
}

// serve starts the server, and stops it with the test.
func (m *machine) serve(t *testing.T, v server, https bool) {
	t.Helper()
	cmdtest.Serve(t, func(port int) []*exec.Cmd {
		m.port = port
		commands := v.start(t, m, https)
		for _, c := range commands {
			c.Env = m.environment()
		}
		return commands
	})
}

// A browser is one that visits the counter.
type browser struct {
	*cmdtest.Browser
	url string
}

// get fetches the page, wants it to say which visit this is, and returns the
// cookie's value and its attributes, if one is set.
func (b browser) get(t *testing.T, visit int, options ...string) (value, attributes string) {
	t.Helper()
	p := b.Get(t, b.url, append(options, "--insecure")...)
	if !strings.Contains(p.Body, fmt.Sprintf("<p>Visit %d.", visit)) {
		t.Fatalf("not visit %d:\n%s\n%s", visit, p.Head, p.Body)
	}
	switch set := p.Cookies(); len(set) {
	case 0:
		return "", ""
	case 1:
		return set[0].Value, set[0].Attributes
	}
	t.Fatalf("several cookies:\n%s", p.Head)
	return "", ""
}

func (m *machine) browse(t *testing.T, scheme string) browser {
	return browser{cmdtest.NewBrowser(t), scheme + "://" + m.address() + "/cgi-bin/counter.sh"}
}

// onEach runs a test on each server.
func onEach(t *testing.T, https bool, test func(t *testing.T, m *machine, v server)) {
	t.Helper()
	onThese(t, servers, https, test)
}

func onThese(t *testing.T, these []server, https bool, test func(t *testing.T, m *machine, v server)) {
	for _, v := range these {
		t.Run(v.name, func(t *testing.T) {
			needs(t, append(v.programs, "curl")...)
			if https && !v.https {
				t.Skip("it knows no https")
			}
			m := newMachine(t)
			m.serve(t, v, https)
			test(t, m, v)
		})
	}
}

func TestServers(t *testing.T) {
	onThese(t, append(servers[:len(servers):len(servers)], fresh...), false, func(t *testing.T, m *machine, v server) {
		b := m.browse(t, "http")
		first, attributes := b.get(t, 1)
		if !strings.Contains(first, ".") || strings.Contains(attributes, "Secure") {
			t.Errorf("not a signed cookie for http: %s%s", first, attributes)
		}
		if m.examine(t, "http") {
			t.Error("doctor does not see that this is not https")
		}
		if again, _ := b.get(t, 2); again != "" {
			t.Error("a second cookie")
		}
		for _, file := range m.sessions(t) {
			if who := owner(t, file); who != "www-data" {
				t.Errorf("the session is %s's", who)
			}
		}
		if n := m.count(t, "created"); n != 1 {
			t.Errorf("the log has %d sessions", n)
		}

		// The timeout is that of the configuration file.
		m.age(t, 29*time.Minute)
		b.get(t, 3)
		m.age(t, 31*time.Minute)
		second, _ := b.get(t, 1)
		if second == "" || second == first || m.count(t, "timed out") != 1 {
			t.Errorf("after a timeout the cookie is %q; %d timeouts in the log", second, m.count(t, "timed out"))
		}

		// Cleanup removes what is idle, and nothing else.
		m.cron(t, "../cron/cgisession")
		b.get(t, 2)
		m.age(t, 31*time.Minute)
		m.cron(t, "../cron/cgisession")
		if files := m.sessions(t); len(files) != 0 || m.count(t, "removed") != 1 {
			t.Errorf("after cleanup: %q; %d removed in the log", files, m.count(t, "removed"))
		}
		third, _ := b.get(t, 1)
		if third == "" || third == second {
			t.Errorf("after cleanup the cookie is %q", third)
		}
		b.get(t, 2)
	})
}

const several = `#!/bin/sh
cgisession load
printf 'Content-Type: text/plain\n\n'
`

// What deletes the cookies of a visitor who has several comes through each server,
// as it is set up by default, and the new cookie after it.
func TestManyCookieLines(t *testing.T) {
	onEach(t, false, func(t *testing.T, m *machine, v server) {
		const page = "/cgi-bin/1/2/3/4/5/several.sh"
		for _, dir := range []string{"/usr/lib", "/var/www"} {
			write(t, m.path(dir+page), several, 0o755)
		}
		first, _ := m.browse(t, "http").get(t, 1)
		second, _ := m.browse(t, "http").get(t, 1)
		p := cmdtest.Fetch(t, "http://"+m.address()+page, "--cookie", "cgisession_id="+first+"; cgisession_id="+second)
		set := p.Cookies()
		if len(set) != 13 {
			t.Fatalf("%d lines, not 12 and the new cookie:\n%s", len(set), p.Head)
		}
		for i, c := range set {
			deletes := c.Value == "" && strings.Contains(c.Attributes, "; Max-Age=0;")
			if deletes != (i < 12) || i == 0 && !strings.HasPrefix(c.Attributes, "; Path=/cgi-bin/1/2/3/4/5;") {
				t.Errorf("line %d: %+v", i, c)
			}
		}
	})
}

// Apache follows a Location without Status itself; the cookie of the first script comes
// through all the same.
func TestApacheLocation(t *testing.T) {
	needs(t, "apache2", "curl")
	m := newMachine(t)
	m.serve(t, servers[0], false)
	for _, status := range []string{"", "Status: 303 See Other\n"} {
		write(t, m.path("/usr/lib/cgi-bin/go.sh"), "#!/bin/sh\ncgisession load\nprintf '"+status+
			"Location: /cgi-bin/counter.sh\n\n'\n", 0o755)
		p := cmdtest.Fetch(t, "http://"+m.address()+"/cgi-bin/go.sh")
		follows := strings.Contains(p.Head, " 200 ") && strings.Contains(p.Body, "<p>Visit ")
		redirects := strings.Contains(p.Head, " 303 ") && strings.Contains(p.Head, "Location: /cgi-bin/counter.sh")
		if follows != (status == "") || redirects != (status != "") {
			t.Errorf("%q:\n%s\n%s", status, p.Head, p.Body)
		}
		if set := p.Cookies(); len(set) == 0 || follows && len(set) != 2 { // each script began a session
			t.Errorf("%q: cookies %+v", status, set)
		}
	}
}

const examination = `#!/bin/sh
printf 'Content-Type: text/plain\n\n'
cgisession doctor
`

// examine runs doctor as a script of the site, and reports whether it finds the
// set-up fit for the scheme by which it was called.
func (m *machine) examine(t *testing.T, scheme string) (fit bool) {
	t.Helper()
	for _, dir := range []string{"/usr/lib/cgi-bin", "/var/www/cgi-bin"} {
		write(t, m.path(dir+"/doctor.sh"), examination, 0o755)
	}
	found := cmdtest.Fetch(t, scheme+"://"+m.address()+"/cgi-bin/doctor.sh", "--insecure").Body
	configured := strings.Contains(found, "ok       configuration: "+conf+"\n") && strings.Contains(found, "ok       key file: 1 keys")
	if !configured || strings.Contains(found, "problem") || strings.Contains(found, "timeout") {
		t.Errorf("doctor says:\n%s", found)
	}
	return !strings.Contains(found, "--cookie-secure auto goes by the variables HTTPS and REQUEST_SCHEME, which do not say https here")
}

const environment = `#!/bin/sh
printf 'Content-Type: text/plain\n\n'
env
`

// The servers pass header fields on as the page says.
func TestHeaderVariables(t *testing.T) {
	onEach(t, false, func(t *testing.T, m *machine, v server) {
		for _, dir := range []string{"/usr/lib/cgi-bin", "/var/www/cgi-bin"} {
			write(t, m.path(dir+"/env.sh"), environment, 0o755)
		}
		url := "http://" + m.address() + "/cgi-bin/env.sh"
		env := cmdtest.Fetch(t, url, "--header", "X-Dash: client", "--header", "X_Under: client", "--header", "Proxy: client", "--header", "Https: client").Body
		for variable, want := range map[string]bool{"HTTP_X_DASH": true, "HTTP_X_UNDER": v.underscores, "HTTP_PROXY": v.proxy, "HTTPS": false, "X_DASH": false} {
			if got := strings.Contains(env, "\n"+variable+"=client\n"); got != want {
				t.Errorf("%s is set by the client: %v", variable, got)
			}
		}
		settings := regexp.MustCompile(`(?m)^CGISESSION_.*`).FindAllString(env, -1)
		if len(settings) > 0 && fmt.Sprint(settings) != "[CGISESSION_CACHE_CONTROL=off]" {
			t.Errorf("the snippet sets %q", settings)
		}
		if t.Failed() {
			t.Log(env)
		}
	})
}

// Whatever the client calls a header, it sets no variable of ours.
func TestHeaders(t *testing.T) {
	onEach(t, false, func(t *testing.T, m *machine, v server) {
		b := m.browse(t, "http")
		elsewhere := m.path("/tmp/elsewhere")
		var headers []string
		for _, h := range []string{
			"Cgisession-Data-Dir: " + elsewhere, "Cgisession_Data_Dir: " + elsewhere, "CGISESSION_DATA_DIR: " + elsewhere,
			"Cgisession-Timeout: 1", "Cgisession-Id: abcdefghijklmnopqrstuvwxyz234567", "Cgisession-Secret-File: /dev/null",
			"Https: on", "HTTPS: on", "Path: /nowhere", "Tmpdir: " + elsewhere, "Proxy: http://127.0.0.1:9/",
		} {
			headers = append(headers, "--header", h)
		}
		if _, attributes := b.get(t, 1, headers...); strings.Contains(attributes, "Secure") {
			t.Errorf("https by a header: %s", attributes)
		}
		b.get(t, 2, headers...)
		b.get(t, 3)
		if n := len(m.sessions(t)); n != 1 {
			t.Errorf("%d sessions", n)
		}
		if _, err := os.Lstat(elsewhere); err == nil {
			t.Error("a client chose the directory")
		}
	})
}

// Over https the servers say HTTPS=on, and the cookie is for https only.
func TestHTTPS(t *testing.T) {
	onEach(t, true, func(t *testing.T, m *machine, v server) {
		b := m.browse(t, "https")
		if _, attributes := b.get(t, 1); !strings.Contains(attributes, "; Secure") {
			t.Errorf("the cookie has %s", attributes)
		}
		if !m.examine(t, "https") {
			t.Error("doctor does not see that this is https")
		}
		b.get(t, 2)
	})
}

// A server that runs scripts as another user needs no more than the configuration file:
// that user's directory is made by the first session, and cleaned with the others.
func TestSeveralUsers(t *testing.T) {
	needs(t, "mini_httpd", "curl")
	m := newMachine(t)
	forAllUsers(t)
	m.asUser(t, "www-data", "cgisession", "load")
	m.serve(t, server{start: func(t *testing.T, m *machine, https bool) []*exec.Cmd {
		commands := miniHTTPD(t, m, https)
		args := commands[0].Args
		args[len(args)-1] = "nobody"
		return commands
	}}, false)
	b := m.browse(t, "http")
	b.get(t, 1)
	b.get(t, 2)
	if files := m.sessions(t); len(files) != 2 || !strings.Contains(files[1], "/cgisession/65534/") || owner(t, files[1]) != "nobody" {
		t.Errorf("the sessions are %q", files)
	}
	m.age(t, 31*time.Minute)
	m.cron(t, "../cron/cgisession")
	if files := m.sessions(t); len(files) != 0 {
		t.Errorf("after cleanup: %q", files)
	}
}
