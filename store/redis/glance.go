//go:build redis

package redis

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// A glance is what one round trip, for many keys, says of a key. It takes no lock and
// marks no access, and leaves out the data.
type glance struct {
	fields *redis.Cmd    // glanceFields; WRONGTYPE: the key is no hash
	size   *redis.IntCmd // bytes of the data; 0: there are none

	// Of a pending copy:
	copy     bool // the second step of its move was not made
	replaced bool // and never will be: the session at the old key is gone
}

var glanceFields = []string{"version", "created", "accessed",
	"user", "cookie_name", "note", "moved", "until", "lock", "leased", "ended", "pending", "from"}

// The indexes of fields in glanceFields; version, created and accessed are the first.
const (
	userField = iota + 3
	nameField
	noteField
	movedField
	untilField
	lockField
	leasedField
	endedField
	pendingField
	fromField
)

// text returns the fields, in the order of glanceFields.
func (g glance) text() []string { return texts(g.fields, len(glanceFields)) }

// ask returns a glance at each of the keys, and the server's time, in one round trip. If
// there are pending copies, which is seldom, another round trip tells whether they
// are the sessions by now.
//
// In a cluster the library parts the request among the servers, and the time is that of
// one of them.
func (s *Store) ask(keys []string) (asked []glance, now time.Time, err error) {
	err = s.attempt(func(ctx context.Context, _ int) error {
		asked = nil
		var clock *redis.TimeCmd
		s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			clock = p.Time(ctx)
			for _, key := range keys {
				fields := hmget(ctx, p, key, glanceFields...)
				asked = append(asked, glance{fields: fields, size: p.HStrLen(ctx, key, "data")})
			}
			return nil
		})
		now = clock.Val()
		return firstFailed(clock, asked)
	})
	if err == nil {
		err = s.askSources(keys, asked)
	}
	return asked, now, err
}

// firstFailed returns the first error of an answer. That a key is of another type is
// no error, but what is known of that key.
func firstFailed(clock *redis.TimeCmd, asked []glance) error {
	if err := clock.Err(); err != nil {
		return err
	}
	for _, g := range asked {
		size := g.size.Err()
		if isWrongType(size) {
			size = nil
		}
		if err := cmp.Or(answered(g.fields, len(glanceFields)), size); err != nil {
			return err
		}
	}
	return nil
}

// askSources asks for the old keys of pending copies, to set copy and replaced. A copy
// is the session if a tombstone at the old key leads to it: the second step was made.
func (s *Store) askSources(keys []string, asked []glance) error {
	var at []int
	var sources []string
	for i, g := range asked {
		if f := g.text(); f[pendingField] != "" && store.IsHandle(f[fromField]) {
			at, sources = append(at, i), append(sources, f[fromField])
		}
	}
	if len(at) == 0 {
		return nil
	}
	atSource, err := s.fields(sources, "version", "moved")
	for n, i := range at {
		version, moved := atSource[n][0], atSource[n][1]
		asked[i].copy = moved == "" || s.key(moved) != keys[i]
		asked[i].replaced = version == ""
	}
	return err
}

var errForeign = errors.New("it holds no session, but what another program wrote")

// unlisted is the state of what operators do not see: a tombstone without a grace,
// a copy whose move was not made, the lock on a session that has ended.
const unlisted store.State = ""

// stateOf returns the session that a glance shows, without its data, and its state; a nil
// session: nothing is there. now is the server's time. The error says what is wrong with
// a session that is Corrupt or Oversize.
func (s *Store) stateOf(handle string, g glance, now time.Time) (*store.Session, store.State, error) {
	found := &store.Session{Handle: handle, Path: s.key(handle)}
	if g.fields.Err() != nil {
		return found, store.Corrupt, errForeign
	}
	f := g.text()
	if f[movedField] != "" {
		return found, stateOfTombstone(f[untilField], now), nil
	}
	if strings.Join(f[:lockField], "") == "" && g.size.Val() == 0 {
		return s.stateOfLock(found, f)
	}
	var bad [3]error
	var accessed int64
	found.Version, bad[0] = parseVersion(f[0])
	found.Created, bad[1] = strconv.ParseInt(f[1], 10, 64)
	accessed, bad[2] = strconv.ParseInt(f[2], 10, 64)
	found.Accessed, found.User, found.Size = time.UnixMilli(accessed), f[userField], g.size.Val()
	found.CookieName, found.Note = f[nameField], f[noteField]
	switch {
	case errors.Join(bad[:]...) != nil || found.Size == 0:
		return found, store.Corrupt, errForeign
	case g.copy && (g.replaced || now.Sub(found.Accessed) > movingTime):
		return found, unlisted, nil
	case g.copy:
		return found, store.Moving, nil
	}
	state := s.opts.State(found, now)
	if state == store.Live && found.Size > int64(s.opts.MaxRead()) {
		return found, store.Oversize, s.tooLarge(found)
	}
	return found, state, nil
}

// lastVersion is the highest version that counts: the scripts count by ones no further
// (lua/prelude.lua).
const lastVersion = 1<<53 - 1

// parseVersion returns the version that a field holds. errForeign: it holds none.
func parseVersion(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || n > lastVersion {
		return 0, errForeign
	}
	return n, nil
}

// stateOfTombstone returns the state of a tombstone whose grace ends then, in Unix
// ms; 0: it has none.
func stateOfTombstone(until string, now time.Time) store.State {
	switch until, _ := strconv.ParseInt(until, 10, 64); {
	case until == 0:
		return unlisted
	case until <= now.UnixMilli():
		return store.Over
	}
	return store.Moved
}

// stateOfLock returns the state of a hash without a session. Its last access is when
// its lock was renewed.
func (s *Store) stateOfLock(found *store.Session, f []string) (*store.Session, store.State, error) {
	switch {
	case f[lockField] == "": // removed meanwhile
		return nil, "", nil
	case f[endedField] != "":
		return found, unlisted, nil
	}
	if leased, err := strconv.ParseInt(f[leasedField], 10, 64); err == nil {
		found.Accessed = time.UnixMilli(leased).Add(-leaseTime)
	}
	return found, store.Unused, nil
}
