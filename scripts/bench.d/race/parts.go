package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// small is the size of a session's data, in bytes, in parts that do not compare
// sizes.
const small = 300

// measure races the contestants at a task.
func (c *course) measure(all []contestant, task string) ([]result, error) {
	var processes []process
	for _, one := range all {
		if err := one.check(task); err != nil {
			return nil, err
		}
		processes = append(processes, one.do(task))
	}
	return race(c.rounds, processes)
}

// calls measures the tasks.
func (c *course) calls() error {
	dir, err := c.room("calls")
	if err != nil {
		return err
	}
	all, err := c.field(dir, cart(small))
	if err != nil {
		return err
	}
	var columns [][]result
	for _, task := range []string{get, incr, first} {
		results, err := c.measure(all, task)
		if err != nil {
			return err
		}
		columns = append(columns, results)
	}
	for i, one := range all {
		if one.isFloor() {
			continue
		}
		made := columns[1][i].turns + 2 // and the two by check and visits
		if n, err := one.visits(); err != nil || n != made {
			return fmt.Errorf("%s counted %d of %d increments: %v", one.name, n, made, err)
		}
	}
	table("one call", names(all), []string{"read one key", "increment and save", "first visit"}, columns)
	lead(all, columns)
	return nil
}

// lead prints how many times as fast as each peer cgisession is.
func lead(all []contestant, columns [][]result) {
	fmt.Println()
	ours := slices.IndexFunc(all, func(c contestant) bool { return c.name == "cgisession" })
	for i := ours + 1; i < len(all); i++ {
		var least float64
		for _, column := range columns {
			if ratio := float64(column[i].median) / float64(column[ours].median); least == 0 || ratio < least {
				least = ratio
			}
		}
		fmt.Printf("- at least %.1f times as fast as %s\n", least, all[i].name)
	}
}

// verbs measures some of cgisession's verbs.
func (c *course) verbs() error {
	dir, err := c.room("verbs")
	if err != nil {
		return err
	}
	us, err := c.ours(dir, cart(small), 0)
	if err != nil {
		return err
	}
	floors, err := c.floors(us)
	if err != nil {
		return err
	}
	line, err := process{[]string{"cgisession", "secret"}, us.env}.output(nil)
	if err != nil {
		return err
	}
	keys := filepath.Join(c.dir, "keys")
	if err := os.WriteFile(keys, []byte(line), 0o600); err != nil {
		return err
	}
	signed := append(us.env[:len(us.env):len(us.env)], "CGISESSION_SECRET_FILE="+keys)
	text, err := process{[]string{"cgisession", "set", "name=Ann"}, signed}.output(nil)
	if err != nil {
		return err
	}
	signed = append(signed, "HTTP_COOKIE="+cookieLine.FindStringSubmatch(text)[1])
	known := append(us.env[:len(us.env):len(us.env)], "HTTP_COOKIE="+us.cookie)

	conf, err := c.configuration()
	if err != nil {
		return err
	}

	rows := []string{
		"Go floor", "`get name`", "`get name`, 20 lines and a section", "`get name`, signed id", "`set name=Ann`", "`incr visits`",
		"`run true`, without `true`", "`load`, new session", "Go floor, making a file",
	}
	processes := []process{
		floors[0].do(get),
		{[]string{"cgisession", "get", "name"}, known},
		{[]string{"cgisession", "get", "name"}, append(known[:len(known):len(known)], "CGISESSION_CONFIG="+conf)},
		{[]string{"cgisession", "get", "name"}, signed},
		{[]string{"cgisession", "set", "name=Ann"}, known},
		{[]string{"cgisession", "incr", "visits"}, known},
		{[]string{"cgisession", "run", "/bin/true"}, known},
		{[]string{"cgisession", "load"}, us.env},
		{[]string{filepath.Join(c.bin, "floor"), dir + "/"}, us.env},
		{[]string{"/bin/true"}, known},
	}
	results, err := race(2*c.rounds, processes)
	if err != nil {
		return err
	}
	last := len(rows)
	results[6].median -= results[last].median // exec keeps the process
	table("one call", rows, []string{"time"}, [][]result{results[:last]})
	return c.large()
}

// configuration makes a configuration file of 20 lines and a section, and returns its path.
func (c *course) configuration() (string, error) {
	path := filepath.Join(c.dir, "conf")
	text, err := os.ReadFile("cmd/testdata/twenty.conf")
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	return path, err
}

// large measures how one key of a session of 1 MB is read.
func (c *course) large() error {
	dir, err := c.room("large")
	if err != nil {
		return err
	}
	us, err := c.ours(dir, cart(1_000_000), 0)
	if err != nil {
		return err
	}
	floors, err := c.floors(us)
	if err != nil {
		return err
	}
	results, err := race(c.rounds, []process{floors[0].do(get), us.do(get)})
	if err != nil {
		return err
	}
	fmt.Println()
	table("a session of 1 MB", []string{"Go floor", "`get name`"}, []string{"time"}, [][]result{results})
	return nil
}

// sizes measures sessions of 1 KB, 64 KB and 1 MB.
func (c *course) sizes() error {
	var titles, rows []string
	var columns [][]result
	rounds := c.rounds
	c.rounds = max(rounds/2, 1)
	defer func() { c.rounds = rounds }()
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1 KB", 1000}, {"64 KB", 64_000}, {"1 MB", 1_000_000}} {
		dir, err := c.room("size-" + size.name)
		if err != nil {
			return err
		}
		all, err := c.field(dir, cart(size.bytes))
		if err != nil {
			return err
		}
		rows = names(all)
		for _, task := range []string{get, incr} {
			results, err := c.measure(all, task)
			if err != nil {
				return err
			}
			columns = append(columns, results)
			titles = append(titles, map[string]string{get: "read, ", incr: "increment, "}[task]+size.name)
		}
	}
	table("size of the session", rows, titles, columns)
	return nil
}

// directories measures cgisession where there are many sessions, in the
// directories many-N below c.dir.
func (c *course) directories() error {
	dirs, err := filepath.Glob(filepath.Join(c.dir, "many-*"))
	if err != nil {
		return err
	}
	tasks := []string{get, incr, first}
	var rows []string
	var processes []process
	for _, dir := range dirs {
		us, err := c.ours(dir, cart(small), 0)
		if err != nil {
			return err
		}
		rows = append(rows, strings.TrimPrefix(filepath.Base(dir), "many-"))
		for _, task := range tasks {
			if err := us.check(task); err != nil {
				return err
			}
			processes = append(processes, us.do(task))
		}
	}
	results, err := race(c.rounds, processes)
	if err != nil {
		return err
	}
	columns := make([][]result, len(tasks))
	for i, r := range results {
		columns[i%len(tasks)] = append(columns[i%len(tasks)], r)
	}
	table("sessions in the directory", rows, []string{"read one key", "increment and save", "first visit"}, columns)
	return nil
}

// builds measures builds of cgisession against each other: the programs in c.bin
// whose names begin with cgisession.
func (c *course) builds() error {
	dir, err := c.room("builds")
	if err != nil {
		return err
	}
	us, err := c.ours(dir, cart(small), 0)
	if err != nil {
		return err
	}
	programs, err := filepath.Glob(filepath.Join(c.bin, us.name+"*"))
	if err != nil {
		return err
	}
	var all []contestant
	for _, program := range programs {
		one := us
		one.name = filepath.Base(program)
		one.command = func(task string) []string { return append([]string{program}, us.command(task)[1:]...) }
		all = append(all, one)
	}
	var columns [][]result
	for _, task := range []string{get, incr, first} {
		results, err := c.measure(all, task)
		if err != nil {
			return err
		}
		columns = append(columns, results)
	}
	table("one call", names(all), []string{"read one key", "increment and save", "first visit"}, columns)
	return nil
}

// contention has 8 processes at a time increment the number of one session.
func (c *course) contention() error {
	dir, err := c.room("contention")
	if err != nil {
		return err
	}
	all, err := c.field(dir, cart(small))
	if err != nil {
		return err
	}
	const writers, each = 8, 25
	fmt.Printf("| %d processes on one session | increments a second | lost of %d |\n|---|---|---|\n",
		writers, writers*each)
	for _, one := range all {
		if one.isFloor() {
			continue
		}
		start := time.Now()
		errs := make(chan error, writers)
		var wait sync.WaitGroup
		for range writers {
			wait.Go(func() {
				for range each {
					if _, err := one.do(incr).time(); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wait.Wait()
		took := time.Since(start)
		close(errs)
		// A peer may even break the session; then all its increments are lost.
		broke := <-errs
		n, err := one.visits()
		if broke != nil || err != nil {
			n = 1
		}
		fmt.Printf("| %s | %.0f | %d |\n", one.name, writers*each/took.Seconds(), writers*each-(n-1))
	}
	return nil
}

func names(all []contestant) (names []string) {
	for _, one := range all {
		names = append(names, one.name)
	}
	return names
}

// table prints a column for each title: the time of each row, and its ratio to that
// of the first row.
func table(corner string, rows, titles []string, columns [][]result) {
	fmt.Printf("| %s | %s |\n|---%s|\n", corner, strings.Join(titles, " | "), strings.Repeat("|---:", len(titles)))
	for i, row := range rows {
		fmt.Printf("| %s |", row)
		for _, column := range columns {
			time, first := column[i].median.Seconds(), column[0].median.Seconds()
			fmt.Printf(" %.2f ms, %.2f × |", time*1000, time/first)
		}
		fmt.Println()
	}
}
