//go:build redis

package redis

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// What an operator sees of the sessions as a whole. Nothing here takes a lock or
// marks an access. Keys are gone through by SCAN, which may name one twice while
// the server makes its table larger or smaller.

const (
	// scanAtOnce is how many keys the server looks at for one answer.
	scanAtOnce = 1000

	// readAtOnce is how many sessions are asked for at once, without their data.
	readAtOnce = 32
)

// The index of users is a set of handles for each user, at the key
// PREFIXusers:{<user>}, where <user> is the first half of the hex SHA-256 of the
// user's name. It only finds sessions; whose they are, the sessions say.
func (s *Store) usersKey(user string) string {
	sum := sha256.Sum256([]byte(user))
	return s.prefix + "users:{" + hex.EncodeToString(sum[:16]) + "}"
}

// addUser makes sure that the index leads from the user to the handle.
func (s *Store) addUser(user, handle string) error {
	if user == "" {
		return nil
	}
	key := s.usersKey(user)
	return ofIndex(key, s.attempt(func(ctx context.Context, _ int) error {
		return s.client.SAdd(ctx, key, handle).Err()
	}))
}

// ofIndex says of a key of the index, if that is it, what is wrong with it.
func ofIndex(key string, err error) error {
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") {
		return foreignError{key, "it belongs to the index of users, but holds what another program wrote; delete it, and run doctor --repair"}
	}
	return err
}

// dropUser takes the handle back. One that stays does no harm.
func (s *Store) dropUser(user, handle string) {
	if user == "" {
		return
	}
	s.attempt(func(ctx context.Context, _ int) error {
		return s.client.SRem(ctx, s.usersKey(user), handle).Err()
	})
}

// MendUser implements [store.Keeper].
func (s *Store) MendUser(found *store.Session) error { return s.addUser(found.User, found.Handle) }

// UserHandles implements [store.Keeper]. A copy that is about to be a session's
// new place is none of its own, for as long as the session is at the old one.
func (s *Store) UserHandles(user string, visit func(handle string) error) error {
	return s.eachMember(s.usersKey(user), func(members []string) error {
		members = slices.DeleteFunc(members, func(handle string) bool { return !isHex(handle, store.HandleSize) })
		places, err := s.hashes(members, "pending", "from")
		if err != nil {
			return err
		}
		for i, handle := range members {
			if pending, from := places[i][0], places[i][1]; pending != "" && from != "" {
				copied, err := s.isCopy(from)
				if err != nil {
					return err
				}
				if copied {
					continue
				}
			}
			if err := visit(handle); err != nil {
				return err
			}
		}
		return nil
	})
}

// isCopy reports whether a session is still where it was copied from.
func (s *Store) isCopy(from string) (bool, error) {
	version, err := s.field(from, "version")
	return version != "", err
}

// hashes returns some fields of each of these handles' hashes; those that are not
// there, or of what is no hash, are empty.
func (s *Store) hashes(handles []string, fields ...string) ([][]string, error) {
	var asked []*redis.Cmd
	err := s.attempt(func(ctx context.Context, _ int) error {
		asked = nil
		s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, handle := range handles {
				asked = append(asked, hmget(ctx, p, s.key(handle), fields...))
			}
			return nil
		})
		for _, a := range asked {
			if err := answered(a, len(fields)); err != nil {
				return err
			}
		}
		return nil
	})
	found := make([][]string, len(handles))
	for i := range asked {
		found[i] = texts(asked[i], len(fields))
	}
	return found, err
}

// hmget asks for fields of a hash. The library's own command for this takes a
// number for the length of an array.
func hmget(ctx context.Context, to doer, key string, fields ...string) *redis.Cmd {
	return to.Do(ctx, append([]any{"hmget", key}, anys(fields)...)...)
}

// doer is what sends any command: a client or a pipeline.
type doer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

// answered returns why there is no answer of n fields, unless it is that the key
// is of another type.
func answered(asked *redis.Cmd, n int) error {
	switch list, err := asked.Slice(); {
	case asked.Err() != nil && strings.HasPrefix(asked.Err().Error(), "WRONGTYPE"):
		return nil
	case asked.Err() != nil:
		return asked.Err()
	case err != nil || len(list) != n:
		return errNoRedis
	}
	return nil
}

// texts returns the n fields that a server sent.
func texts(asked *redis.Cmd, n int) []string {
	f := make([]string, n)
	list, _ := asked.Slice()
	for i, v := range list[:min(len(list), n)] {
		f[i], _ = v.(string)
	}
	return f
}

// eachMember calls visit with the members of a set, some at a time.
func (s *Store) eachMember(key string, visit func(members []string) error) error {
	var seen circle
	for cursor := uint64(0); ; {
		s.time.waited()
		var members []string
		err := s.attempt(func(ctx context.Context, _ int) (err error) {
			members, cursor, err = s.client.SScan(ctx, key, cursor, "", scanAtOnce).Result()
			return err
		})
		if err = ofIndex(key, err); err == nil {
			err = visit(members)
		}
		if err != nil || cursor == 0 {
			return err
		}
		if seen.closes(cursor) {
			return s.failed(errNoRedis)
		}
	}
}

// A place is how far a walk through the keys has come: to which server, and
// there to which of its cursors. A cursor is good for as long as the server runs.
type place struct {
	node   string
	cursor uint64
}

// eachKey calls visit with the keys that a pattern fits, some at a time, on each
// server of a cluster.
func (s *Store) eachKey(pattern string, visit func(keys []string) error) error {
	return s.eachKeyFrom(place{}, pattern, func(keys []string, _ place) error { return visit(keys) })
}

// eachKeyFrom is eachKey from a place on. With the keys goes where they begin.
func (s *Store) eachKeyFrom(from place, pattern string, visit func(keys []string, at place) error) error {
	nodes, err := s.nodes()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if name < from.node {
			continue
		}
		at := place{node: name}
		if name == from.node {
			at = from
		}
		if err := s.eachKeyOf(nodes[name], at, pattern, visit); err != nil {
			return err
		}
	}
	return nil
}

// nodes returns the servers that have sessions, by their addresses. One that is
// no cluster's has no name: which it is may change.
func (s *Store) nodes() (map[string]redis.Cmdable, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return map[string]redis.Cmdable{"": s.client}, nil
	}
	var mu sync.Mutex
	nodes := make(map[string]redis.Cmdable)
	s.time.waited()
	err := s.attempt(func(ctx context.Context, _ int) error {
		return cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			nodes[c.Options().Addr] = c
			return nil
		})
	})
	return nodes, err
}

func (s *Store) eachKeyOf(node redis.Cmdable, at place, pattern string, visit func(keys []string, at place) error) error {
	var seen circle
	for {
		s.time.waited()
		var keys []string
		var next uint64
		err := s.attempt(func(ctx context.Context, _ int) (err error) {
			keys, next, err = node.Scan(ctx, at.cursor, pattern, scanAtOnce).Result()
			return err
		})
		for len(keys) > 0 && err == nil {
			n := min(len(keys), readAtOnce)
			err = visit(keys[:n], at)
			keys = keys[n:]
		}
		if err != nil || next == 0 {
			return err
		}
		if seen.closes(next) {
			return s.failed(errNoRedis)
		}
		at.cursor = next
	}
}

// A circle finds out that cursors go round in one, and so without end, which they
// do at no server that works (Brent's algorithm).
type circle struct {
	mark         uint64
	steps, limit int
}

// closes reports whether the cursor was seen before.
func (c *circle) closes(cursor uint64) bool {
	if cursor == c.mark {
		return true
	}
	if c.steps++; c.steps > c.limit {
		c.mark, c.steps, c.limit = cursor, 0, 2*c.limit+1
	}
	return false
}

// handleOf returns the handle that a key names.
func (s *Store) handleOf(key string) (string, bool) {
	handle := strings.TrimSuffix(strings.TrimPrefix(key, s.prefix+"{"), "}")
	return handle, isHex(handle, store.HandleSize) && key == s.key(handle)
}

// ReadData has Each read the data too, and tell where that is no session's.
func (s *Store) ReadData() { s.whole = true }

// Each implements [store.Keeper]. It leaves out the data, unless ReadData was
// called.
func (s *Store) Each(visit store.Visit) error {
	return s.eachKey(s.prefix+"{*}", func(keys []string) error {
		return s.look(keys, s.whole, visit)
	})
}

// Look implements [store.Keeper].
func (s *Store) Look(handle string, visit store.Visit) error {
	none := true
	err := s.look([]string{s.key(handle)}, true, func(found *store.Session, state store.State, wrong error) error {
		none = false
		return visit(found, state, wrong)
	})
	if err == nil && none {
		err = store.ErrNotFound
	}
	return err
}

// Find implements [store.Keeper].
func (s *Store) Find(prefix string) (string, error) {
	if len(prefix) == store.HandleSize {
		return prefix, s.exists(prefix)
	}
	found := ""
	err := s.eachKey(s.prefix+"{"+prefix+"*}", func(keys []string) error {
		for _, key := range keys {
			handle, ok := s.handleOf(key)
			switch {
			case !ok || handle == found:
			case found != "":
				return store.ErrAmbiguous
			default:
				found = handle
			}
		}
		return nil
	})
	if err == nil && found == "" {
		err = store.ErrNotFound
	}
	return found, err
}

// exists returns ErrNotFound where nothing is at the handle.
func (s *Store) exists(handle string) error {
	s.time.begin()
	var n int64
	err := s.attempt(func(ctx context.Context, _ int) (err error) {
		n, err = s.client.Exists(ctx, s.key(handle)).Result()
		return err
	})
	if err == nil && n == 0 {
		err = store.ErrNotFound
	}
	return err
}

// look reads the sessions at the keys, and calls visit with each. Data is in
// memory for one at a time.
func (s *Store) look(keys []string, data bool, visit store.Visit) error {
	s.time.waited()
	asked, now, err := s.ask(keys)
	if err != nil {
		return err
	}
	for i, a := range asked {
		handle, ok := s.handleOf(keys[i])
		if !ok {
			continue
		}
		found, state, wrong := s.judge(handle, a, now)
		if found == nil {
			continue
		}
		if data && (state == store.Live || state == store.Idle || state == store.Old) {
			if state, wrong, err = s.lookInto(found, state); err != nil {
				return err
			}
		}
		if err := visit(found, state, wrong); err != nil {
			return err
		}
	}
	return nil
}

// firstLost returns the first error that no server gave for a key of its own.
func firstLost(clock *redis.TimeCmd, asked []seen) error {
	if err := clock.Err(); err != nil {
		return err
	}
	for _, a := range asked {
		size := a.size.Err()
		if size != nil && strings.HasPrefix(size.Error(), "WRONGTYPE") {
			size = nil
		}
		if err := cmp.Or(answered(a.fields, len(seenFields)), size); err != nil {
			return err
		}
	}
	return nil
}

var errForeign = errors.New("it holds no session, but what another program wrote")

// judge says what was seen at a key; nil for nothing.
func (s *Store) judge(handle string, a seen, now time.Time) (*store.Session, store.State, error) {
	found := &store.Session{Handle: handle, Path: s.key(handle)}
	if a.fields.Err() != nil {
		return found, store.Corrupt, errForeign
	}
	f := texts(a.fields, len(seenFields))
	if f[movedField] != "" {
		if until, _ := strconv.ParseInt(f[5], 10, 64); until <= now.UnixMilli() {
			return found, store.Over, nil
		}
		return found, store.Moved, nil
	}
	if strings.Join(f[:6], "") == "" && a.size.Val() == 0 {
		if f[6] == "" { // gone meanwhile
			return nil, "", nil
		}
		return found, store.Unused, nil
	}
	var bad [3]error
	var accessed int64
	found.Version, bad[0] = strconv.ParseUint(f[0], 10, 64)
	found.Created, bad[1] = strconv.ParseInt(f[1], 10, 64)
	accessed, bad[2] = strconv.ParseInt(f[2], 10, 64)
	found.Accessed, found.User, found.Size = time.UnixMilli(accessed), f[3], a.size.Val()
	switch {
	case errors.Join(bad[:]...) != nil || found.Size == 0:
		return found, store.Corrupt, errForeign
	case s.opts.Timeout > 0 && now.Sub(found.Accessed) > s.opts.Timeout:
		return found, store.Idle, nil
	case s.opts.Lifetime > 0 && now.Unix()-found.Created > int64(s.opts.Lifetime/time.Second):
		return found, store.Old, nil
	}
	return found, store.Live, nil
}

// lookInto reads the data too, and judges the session by it.
func (s *Store) lookInto(found *store.Session, state store.State) (store.State, error, error) {
	s.time.waited()
	text, err := s.field(found.Handle, "data")
	if err != nil {
		return state, nil, err
	}
	if found.Data, err = store.ParseData([]byte(text)); err != nil {
		return store.Corrupt, errForeign, nil
	}
	return state, nil, nil
}

// Count implements [store.Keeper].
func (s *Store) Count() (*store.Count, error) {
	c, now := store.NewCount(store.Live, store.Idle, store.Old, store.Moved, store.Over, store.Unused, store.Corrupt), time.Now()
	err := s.eachKey(s.prefix+"{*}", func(keys []string) error {
		return s.look(keys, false, func(found *store.Session, state store.State, _ error) error {
			c.Add(found, state, now)
			return nil
		})
	})
	return c, err
}

// Sweep implements [store.Keeper]. The server ends sessions by itself if who
// stores them has limits; here go those that were stored without, what another
// program wrote in their place, and what the index of users still has of sessions
// that ended. A sweep goes on where the last one stopped early.
func (s *Store) Sweep(ctx context.Context, how store.Sweep) (store.Swept, error) {
	s.opts.Timeout = how.Timeout
	w := sweep{s: s, how: how, ctx: ctx, until: time.Now().Add(how.MaxTime)}
	last, err := s.sweptBefore()
	if err != nil {
		return w.done, err
	}
	if how.DryRun {
		last.at, last.users = place{}, false
	}
	if !last.users {
		err = s.eachKeyFrom(last.at, s.prefix+"{*}", w.sessions)
		last.at = place{}
	}
	if err == nil && !how.DryRun {
		w.inUsers = true
		err = s.eachKeyFrom(last.at, s.prefix+"users:{*}", w.users)
	}
	w.done.Done = err == nil
	w.done.Note = "the server ends sessions that have a --timeout or --lifetime by itself; these had none"
	if w.done.Done && !how.DryRun {
		w.at, w.inUsers = place{}, false
		w.done.Note += ", and the index of users is mended"
	}
	if err == errStop {
		err = nil
	}
	if err == nil && !how.DryRun {
		err = w.remember()
	}
	return w.done, err
}

var errStop = errors.New("stop")

// sweep is a sweep under way.
type sweep struct {
	s       *Store
	how     store.Sweep
	ctx     context.Context
	until   time.Time // when MaxTime is over
	at      place     // of the keys at hand
	inUsers bool      // they are those of the index of users
	pages   int       // how many answers of servers were looked at, with this one
	done    store.Swept
}

// turn notes at which keys the sweep is, and reports errStop when it is time to
// stop: not before something was achieved, or the next sweep would begin here for
// ever.
func (w *sweep) turn(at place) error {
	if w.pages == 0 || at != w.at {
		w.at = at
		w.pages++
	}
	late := w.how.MaxTime > 0 && time.Now().After(w.until) && (w.pages > 1 || w.done.Removed > 0)
	if w.ctx.Err() != nil || late {
		return errStop
	}
	return nil
}

func (w *sweep) sessions(keys []string, at place) error {
	if err := w.turn(at); err != nil {
		return err
	}
	err := w.s.look(keys, false, w.session)
	if w.how.Progress != nil {
		w.how.Progress(w.done)
	}
	return err
}

// session removes what was seen if it is to go.
func (w *sweep) session(found *store.Session, state store.State, _ error) error {
	due := state == store.Idle || state == store.Corrupt
	if due && w.how.MaxDelete > 0 && w.done.Removed == w.how.MaxDelete {
		return errStop
	}
	outcome := &w.done.Kept
	if due {
		var err error
		if outcome, err = w.remove(found, state); err != nil {
			return err
		}
	}
	w.done.Seen++
	*outcome++
	if outcome == &w.done.Removed {
		w.done.Bytes += found.Size
		if state == store.Corrupt {
			w.done.Corrupt++
		}
	}
	return nil
}

// remove removes what is too old, unless it is in use after all, and returns how
// that counts.
func (w *sweep) remove(found *store.Session, state store.State) (*int64, error) {
	s := w.s
	if w.how.DryRun {
		if state == store.Idle || !found.Accessed.IsZero() && time.Since(found.Accessed) > w.how.Timeout {
			return &w.done.Removed, nil
		}
		return &w.done.Kept, nil
	}
	script, how := readScript, []any{"update", ""}
	if state == store.Corrupt {
		script, how = foreignScript, nil
	}
	s.time.waited()
	r, err := s.run(script, found.Handle, false, how...)
	switch {
	case err != nil:
		return nil, err
	case r.state() == "busy":
		return &w.done.Busy, nil
	case r.state() != "expired":
		return &w.done.Kept, nil
	}
	s.dropUser(found.User, found.Handle)
	s.log("removed", found.Handle)
	return &w.done.Removed, nil
}

// What the last sweep left word of is a hash at the key PREFIXswept. Nothing
// depends on it.
func (s *Store) sweptKey() string { return s.prefix + "swept" }

// swept is what the last sweep left word of.
type swept struct {
	store.LastSweep
	at    place // where to go on
	users bool  // in the index of users
}

// remember leaves word of this sweep.
func (w *sweep) remember() error {
	s := w.s
	return s.attempt(func(ctx context.Context, _ int) error {
		return s.client.HSet(ctx, s.sweptKey(), "ended", time.Now().Unix(), "seen", w.done.Seen, "removed", w.done.Removed,
			"node", w.at.node, "cursor", w.at.cursor, "users", w.inUsers).Err()
	})
}

func (s *Store) sweptBefore() (last swept, err error) {
	var f []string
	err = s.attempt(func(ctx context.Context, _ int) error {
		asked := hmget(ctx, s.client, s.sweptKey(), "ended", "seen", "removed", "node", "cursor", "users")
		err := cmp.Or(asked.Err(), answered(asked, 6))
		if err == nil {
			f = texts(asked, 6)
		}
		return err
	})
	if err != nil || f[0] == "" {
		return last, err
	}
	ended, _ := strconv.ParseInt(f[0], 10, 64)
	last.At = time.Unix(ended, 0)
	last.Seen, _ = strconv.ParseInt(f[1], 10, 64)
	last.Removed, _ = strconv.ParseInt(f[2], 10, 64)
	last.at.node, last.users = f[3], f[5] == "1"
	last.at.cursor, _ = strconv.ParseUint(f[4], 10, 64)
	return last, nil
}

// LastSweep implements [store.Keeper].
func (s *Store) LastSweep() (store.LastSweep, error) {
	last, err := s.sweptBefore()
	return last.LastSweep, err
}

// users takes handles out of the index whose sessions have ended.
func (w *sweep) users(keys []string, at place) error {
	if err := w.turn(at); err != nil {
		return err
	}
	for _, key := range keys {
		err := w.s.eachMember(key, func(members []string) error { return w.s.mendUsers(key, members) })
		if foreign := (foreignError{}); err != nil && !errors.As(err, &foreign) {
			return err
		}
	}
	return nil
}

// mendUsers takes the members out that lead to no key. A session may come into
// being at one of them meanwhile: what leads to a key by then is put back.
func (s *Store) mendUsers(key string, members []string) error {
	dead, err := s.absent(members)
	if err != nil || len(dead) == 0 {
		return err
	}
	if err := s.attempt(func(ctx context.Context, _ int) error { return s.client.SRem(ctx, key, anys(dead)...).Err() }); err != nil {
		return err
	}
	still, err := s.absent(dead)
	if err != nil {
		still = nil // put back all: one too many does no harm
	}
	born := slices.DeleteFunc(dead, func(handle string) bool { return slices.Contains(still, handle) })
	if len(born) == 0 {
		return err
	}
	return cmp.Or(s.attempt(func(ctx context.Context, _ int) error { return s.client.SAdd(ctx, key, anys(born)...).Err() }), err)
}

func anys(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}

// absent returns those of the handles that lead to no key.
func (s *Store) absent(handles []string) ([]string, error) {
	var exists []*redis.IntCmd
	err := s.attempt(func(ctx context.Context, _ int) error {
		exists = nil
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, handle := range handles {
				exists = append(exists, p.Exists(ctx, s.key(handle)))
			}
			return nil
		})
		return err
	})
	var none []string
	for i, handle := range handles {
		if err == nil && exists[i].Val() == 0 {
			none = append(none, handle)
		}
	}
	return none, err
}
