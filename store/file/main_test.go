package file_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cgisession/store"
	"cgisession/store/file"
)

// childVar is the environment variable with the task for this test binary when it is run
// again as a process of its own. Its arguments are the directory and the handle of a
// session, and then those of the task.
const childVar = "STORE_TEST_CHILD"

var children = map[string]func(dir, handle string, args []string) error{
	"hold":      holdLock,
	"increment": incrementOften,
	"write":     writeUntilKilled,
	"limited":   saveLimited,
	"task":      doTask,
}

func TestMain(m *testing.M) {
	if task := os.Getenv(childVar); task != "" {
		if err := children[task](os.Args[1], os.Args[2], os.Args[3:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A child is a process that runs one of the children.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
}

// start runs a child. It ends with the test at the latest.
func start(t *testing.T, task, dir, handle string, args ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe, append([]string{dir, handle}, args...)...)}
	c.cmd.Env = append(os.Environ(), childVar+"="+task)
	c.cmd.Stderr = os.Stderr
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c.stdout = bufio.NewScanner(stdout)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill() })
	return c
}

// line returns the next line that the child prints, "" at its end.
func (c *child) line() string {
	c.stdout.Scan()
	return c.stdout.Text()
}

// kill ends the child as kill -9 does, if it has not ended yet.
func (c *child) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// end closes the child's stdin, which tells it to go on, and waits for its end.
func (c *child) end(t *testing.T) {
	t.Helper()
	c.stdin.Close()
	for c.stdout.Scan() {
		t.Log(c.stdout.Text())
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
}

// patient are the options of stores that wait for locks.
var patient = store.Options{MaxSize: 1 << 20, LockTimeout: time.Minute}

// open opens the store in dir for the length of the test.
func open(t testing.TB, dir string, opts store.Options) *file.Store {
	t.Helper()
	f := file.Open(file.Config{Dir: dir}, opts)
	t.Cleanup(func() { f.Close() })
	return f
}

// create makes a session in f with this data.
func create(t testing.TB, f *file.Store, data string) *store.Session {
	t.Helper()
	s, err := f.Update(store.Handle("test", store.NewID()), true, save(data))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func save(data string) store.Change {
	return func(s *store.Session) (store.Outcome, error) {
		s.Data = store.Data(data)
		return store.Save, nil
	}
}

func keep(*store.Session) (store.Outcome, error) { return store.Keep, nil }

func remove(*store.Session) (store.Outcome, error) { return store.Remove, nil }

// count is a change that adds one to the member n.
func count(s *store.Session) (store.Outcome, error) {
	data, _, err := s.Data.Add("n", "1")
	s.Data = data
	return store.Save, err
}

// holds checks that the session has this version and data.
func holds(t *testing.T, f *file.Store, handle string, version uint64, data string) {
	t.Helper()
	s, err := f.Read(handle, store.Peek)
	if err != nil || s.Version != version || string(s.Data) != data {
		t.Fatalf("holds %+v, %v; want version %d %s", s, err, version, data)
	}
}

// holdLock prints "locked" once it holds the session's lock, and keeps it until
// its stdin ends.
func holdLock(dir, handle string, _ []string) error {
	_, err := file.Open(file.Config{Dir: dir}, patient).Update(handle, false, func(*store.Session) (store.Outcome, error) {
		fmt.Println("locked")
		_, err := io.Copy(io.Discard, os.Stdin)
		return store.Keep, err
	})
	return err
}

// incrementOften counts args[0] times, in a session that it may create.
func incrementOften(dir, handle string, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		if _, err := file.Open(file.Config{Dir: dir}, patient).Update(handle, true, count); err != nil {
			return err
		}
	}
	return nil
}

// text is the data of version n in sessions that change their size with every
// save, args[0] bytes at most.
func text(n uint64, most int) string {
	return fmt.Sprintf(`{"n":%d,"a":"%s"}`, n, strings.Repeat("x", int(n*n*2654435761%uint64(most))))
}

// writeUntilKilled saves the session over and over, and prints each version once
// it is stored.
func writeUntilKilled(dir, handle string, args []string) error {
	most, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	f := file.Open(file.Config{Dir: dir}, patient)
	for {
		s, err := f.Update(handle, false, func(s *store.Session) (store.Outcome, error) {
			s.Data = store.Data(text(s.Version+1, most))
			return store.Save, nil
		})
		if err != nil {
			return err
		}
		fmt.Println(s.Version)
	}
}

// saveLimited saves args[1] bytes of data under a file size limit of args[0],
// and prints the result.
func saveLimited(dir, handle string, args []string) error {
	var limit unix.Rlimit // of numbers with a sign on FreeBSD
	if _, err := fmt.Sscan(args[0], &limit.Cur); err != nil {
		return err
	}
	limit.Max = limit.Cur
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	s, err := file.Open(file.Config{Dir: dir}, patient).Update(handle, true, save(sized(size)))
	switch {
	case errors.Is(err, unix.EFBIG):
		fmt.Println("EFBIG")
	case err != nil:
		return err
	default:
		fmt.Println("version", s.Version)
	}
	return nil
}

// sized returns n bytes of data.
func sized(n int) string { return `{"a":"` + strings.Repeat("x", n-8) + `"}` }
