package cmd

// This file gives up the rights of root.

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

	"cgisession/cgi"
	"cgisession/store"
)

// becomeOwner changes a process of root to the owner of the data directory, for an
// operator's verb and before any other file is opened. The owner, or an intruder in
// the owner's account, may have planted a file there: it is opened with the owner's
// rights only. Sessions in Redis have no owner.
func (o *options) becomeOwner(env cgi.Env) error {
	if !o.asOwner || o.storeType == "redis" {
		return nil
	}
	o.dataDir = o.directory(env) // the default depends on the user
	if os.Geteuid() != 0 {
		return nil
	}
	owner := o.actAs
	if owner == nil {
		var st unix.Stat_t
		if unix.Lstat(o.dataDir, &st) != nil || st.Uid == 0 {
			return nil
		}
		owner = &account{int(st.Uid), int(st.Gid)}
	}
	err := become(owner.user, owner.group)
	if err != nil {
		err = fmt.Errorf("data directory %s: %w: root cannot become its owner, user %d: %w; "+
			"call this as that user, with runuser -u USER -- cgisession", o.dataDir, store.ErrUnsafe, owner.user, err)
	}
	return err
}

// account has the ids of a user and a group.
type account struct{ user, group int }

// parseAccount accepts USER:GROUP, two numbers. The user is not root.
func parseAccount(text string) (*account, error) {
	var a account
	if _, err := fmt.Sscanf(text, "%d:%d", &a.user, &a.group); err != nil || a.user <= 0 || a.group < 0 {
		return nil, errors.New("must be USER:GROUP, two numbers")
	}
	return &a, nil
}

// become changes the process to this user and the user's primary group, for good. If
// the user is not in /etc/passwd, it changes to group, which must not be root's.
//
// In Linux each thread has its own groups, ids and capabilities (nptl(7)). Package
// syscall changes those of all threads, package unix those of one.
func become(uid, group int) error {
	if primary, ok := primaryGroup(uid); ok {
		group = primary
	} else if group == 0 {
		return errors.New("it is not in /etc/passwd, and the directory's group is that of root")
	}
	err := syscall.Setgroups([]int{group})
	if err == nil {
		err = syscall.Setregid(group, group) // sets the saved id too (setreuid(2))
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

// has reports whether the process has this user and this group, and no others.
func has(uid, gid int) bool {
	groups, err := syscall.Getgroups()
	return err == nil && os.Getuid() == uid && os.Geteuid() == uid && os.Getgid() == gid && os.Getegid() == gid &&
		!slices.ContainsFunc(groups, func(group int) bool { return group != gid })
}

// maxPasswd bounds what is read of /etc/passwd, in bytes.
const maxPasswd = 16 << 20

// primaryGroup returns the group that a user has in /etc/passwd (passwd(5)). Other
// sources of users, such as LDAP, can only be asked through the C library.
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
