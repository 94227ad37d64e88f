package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"cgisession/store"
)

// becomeOwner has an operator's verb give up root for the owner of the data
// directory, before anything else is opened, so that what is planted there or
// beside it is met with no more than the owner's rights. Sessions on a server
// have no owner.
func (c *call) becomeOwner() error {
	if !c.asOwner || c.storeType == "redis" {
		return nil
	}
	c.dataDir = c.directory(c.env) // the default depends on the user
	var st unix.Stat_t
	if os.Geteuid() != 0 || unix.Lstat(c.dataDir, &st) != nil || st.Uid == 0 {
		return nil
	}
	err := become(int(st.Uid), int(st.Gid))
	if err != nil {
		err = fmt.Errorf("data directory %s: %w: root cannot become its owner, user %d: %w; call this as that user, with runuser -u USER -- cgisession", c.dataDir, store.ErrUnsafe, st.Uid, err)
	}
	return err
}

// become gives up all that root has for a user and the user's primary group; for
// a user whom /etc/passwd does not have, for the group of the directory.
//
// Package syscall changes all threads of the process, which package unix does
// not: to Linux each thread has groups, ids and capabilities of its own (nptl(7)).
func become(uid, group int) error {
	if primary, ok := primaryGroup(uid); ok {
		group = primary
	} else if group == 0 {
		return errors.New("it is not in /etc/passwd, and the directory's group is that of root")
	}
	err := syscall.Setgroups([]int{group})
	if err == nil {
		err = syscall.Setregid(group, group) // and the saved one (setreuid(2))
	}
	if err == nil {
		err = syscall.Setreuid(uid, uid)
	}
	if err == nil {
		err = dropCapabilities()
	}
	if err == nil && !has(uid, group) {
		err = errors.New("the system changed no ids")
	}
	return err
}

// has reports whether the process has this user and this group and no others.
func has(uid, gid int) bool {
	groups, err := syscall.Getgroups()
	return err == nil && os.Getuid() == uid && os.Geteuid() == uid && os.Getgid() == gid && os.Getegid() == gid &&
		!slices.ContainsFunc(groups, func(group int) bool { return group != gid })
}

// maxPasswd bounds what is read of /etc/passwd, in bytes.
const maxPasswd = 16 << 20

// primaryGroup returns the group that a user has in /etc/passwd (passwd(5)). To
// ask the system's other directories would take its C library.
func primaryGroup(uid int) (gid int, ok bool) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxPasswd))
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(line, ":") // name, password, uid, gid, …
		if len(fields) < 7 {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 31); err != nil || int(n) != uid {
			continue
		}
		n, err := strconv.ParseUint(fields[3], 10, 31)
		return int(n), err == nil
	}
	return 0, false
}
