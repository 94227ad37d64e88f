package main

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// A site is a page that a web server answers by running a program, with the visitors'
// sessions of that page.
type site struct {
	name, page string
	cookies    []string
	visits     []int
}

const (
	visitors = 4  // at a time, each with a session
	turn     = 10 // requests of each visitor in a round
)

// requests has lighttpd run the pages, and counts answers a second.
func (c *course) requests() error {
	if _, err := exec.LookPath("lighttpd"); err != nil {
		log.Printf("requests: skipped: %v", err)
		return nil
	}
	dir, err := c.room("requests")
	if err != nil {
		return err
	}
	sites, err := c.sites(dir)
	if err != nil {
		return err
	}
	address, stop, err := c.serve(dir)
	if err != nil {
		return err
	}
	defer stop()
	rounds := max(c.rounds/10, 1)
	times := make([][]time.Duration, len(sites))
	for range rounds {
		for _, i := range rand.Perm(len(sites)) {
			start := time.Now()
			if err := sites[i].visit(address); err != nil {
				return err
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	fmt.Println("| a CGI request through lighttpd | requests a second | × |\n|---|---:|---:|")
	base := median(times[0]).Seconds()
	for i, s := range sites {
		took := median(times[i]).Seconds()
		fmt.Printf("| %s | %.0f | %.2f |\n", s.name, visitors*turn/took, base/took)
	}
	return nil
}

// sites makes the visitors' sessions.
func (c *course) sites(dir string) ([]*site, error) {
	ours := []*site{
		{name: "shell under `cgisession run`", page: "ours-sh.cgi"},
		{name: "Perl under `cgisession run --data`", page: "ours-perl.cgi"},
	}
	for i := range ours {
		for v := range visitors {
			us, err := c.ours(dir, cart(small), visitors*i+v)
			if err != nil {
				return nil, err
			}
			ours[i].cookies = append(ours[i].cookies, us.cookie)
		}
	}
	all := ours
	for _, which := range c.peers {
		s := &site{name: peerCommands[which].name, page: peerCommands[which].page}
		for range visitors {
			p, err := c.peer(which, dir, cart(small))
			if err != nil {
				return nil, err
			}
			s.cookies = append(s.cookies, p.cookie)
		}
		all = append(all, s)
	}
	for _, s := range all {
		s.visits = make([]int, visitors)
	}
	return all, nil
}

// visit has each visitor make a turn of requests, and checks the answers.
func (s *site) visit(address string) error {
	errs := make([]error, visitors)
	var wait sync.WaitGroup
	for v := range visitors {
		wait.Go(func() {
			for range turn {
				if errs[v] = s.request(address, v); errs[v] != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (s *site) request(address string, visitor int) error {
	r, err := http.NewRequest("GET", "http://"+address+"/"+s.page+"?page", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Cookie", s.cookies[visitor])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	s.visits[visitor]++
	if want := fmt.Sprintf("Hello Ann, visit %d.\n", s.visits[visitor]); string(body) != want {
		return fmt.Errorf("status %d, %q instead of %q", answer.StatusCode, body, want)
	}
	return nil
}

// serve starts lighttpd, and returns its address and a function that stops it.
func (c *course) serve(dir string) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = listener.Addr().String()
	host, port, _ := net.SplitHostPort(address)
	listener.Close()

	config := fmt.Sprintf(`
server.modules = ("mod_cgi", "mod_setenv")
server.document-root = %q
server.bind = %q
server.port = %s
server.errorlog = %q
cgi.assign = (".cgi" => "", ".php" => "/usr/bin/php-cgi")
setenv.add-environment = ("PATH" => %q, "CGISESSION_DATA_DIR" => %q)
`, c.pages, host, port, filepath.Join(c.dir, "lighttpd.log"), os.Getenv("PATH"), dir)
	for which, how := range peerCommands {
		config += fmt.Sprintf("$HTTP[\"url\"] =~ \"^/%s\" { setenv.add-environment += (\"BENCH_DIR\" => %q) }\n",
			how.page, filepath.Join(dir, which))
	}
	file := filepath.Join(c.dir, "lighttpd.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", nil, err
	}
	server := exec.Command("lighttpd", "-D", "-f", file)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	stop = func() { server.Process.Kill(); server.Wait() }
	for range 100 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return address, stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return "", nil, fmt.Errorf("lighttpd does not answer at %s", address)
}
