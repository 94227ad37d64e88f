package cmd

// This file finds out from /proc whether a process is an ancestor of this one.

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cgisession/cgi"
)

// tick is the unit of times in /proc, in nanoseconds: USER_HZ is 100 on every
// processor that Go knows (times(2), proc_pid_stat(5)).
const tick = 1e9 / 100

// sinceBoot returns the time since boot, in ticks, or 0 if it is not known. /proc gives
// the start of a process by the same clock, also in a time namespace.
func sinceBoot() int64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return now.Nano() / tick
}

// maxAncestors bounds how many ancestors kin follows. Process ids that are reused
// meanwhile could lead it in a circle.
const maxAncestors = 10000

// kin returns how process pid is related to this one. by is a time, in ticks since
// boot: a process that started later is another one, which reuses the pid.
func kin(pid int, by int64) cgi.Kin {
	at := os.Getppid()
	if pid == os.Getpid() {
		at = pid
	}
	for range maxAncestors {
		if at <= 1 && at != pid || at == 0 { // an ancestor outside of the pid namespace is 0
			return cgi.NoKin
		}
		parent, started, ok := processStat(at)
		switch {
		case !ok:
			return groupKin(pid)
		case at == pid && started > by:
			return cgi.NoKin
		case at == pid:
			return cgi.Ancestor
		}
		at = parent
	}
	return cgi.NoKin
}

// processStat returns a process's parent and its start, in ticks since boot: fields 4
// and 22 of /proc/PID/stat (proc_pid_stat(5)). Field 2, the program's name in
// parentheses, may hold blanks and parentheses itself.
func processStat(pid int) (parent int, started int64, ok bool) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, 0, false
	}
	defer unix.Close(fd)
	var text [1024]byte
	n, _ := unix.Read(fd, text[:])
	line := string(text[:max(n, 0)])
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 { // from field 3 on
		return 0, 0, false
	}
	parent, parentErr := strconv.Atoi(fields[1])
	started, startErr := strconv.ParseInt(fields[19], 10, 64)
	return parent, started, parentErr == nil && startErr == nil
}
