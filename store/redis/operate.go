//go:build redis

package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
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

	// readAtOnce bounds how many sessions are in memory.
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
	return s.attempt(func(ctx context.Context, _ int) error {
		return s.client.SAdd(ctx, s.usersKey(user), handle).Err()
	})
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

// UserHandles implements [store.Keeper].
func (s *Store) UserHandles(user string, visit func(handle string) error) error {
	return s.eachMember(s.usersKey(user), func(members []string) error {
		for _, handle := range members {
			if !isHex(handle, 64) {
				continue
			}
			if err := visit(handle); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachMember calls visit with the members of a set, some at a time.
func (s *Store) eachMember(key string, visit func(members []string) error) error {
	for cursor := uint64(0); ; {
		var members []string
		err := s.attempt(func(ctx context.Context, _ int) (err error) {
			members, cursor, err = s.client.SScan(ctx, key, cursor, "", scanAtOnce).Result()
			return err
		})
		if err == nil {
			err = visit(members)
		}
		if err != nil || cursor == 0 {
			return err
		}
	}
}

// eachKey calls visit with the keys that a pattern fits, some at a time, on each
// server of a cluster.
func (s *Store) eachKey(pattern string, visit func(keys []string) error) error {
	nodes := []redis.Cmdable{s.client}
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		nodes = nil
		found := make(chan redis.Cmdable, 1000)
		err := s.attempt(func(ctx context.Context, _ int) error {
			return cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
				found <- c
				return nil
			})
		})
		if err != nil {
			return err
		}
		close(found)
		for node := range found {
			nodes = append(nodes, node)
		}
	}
	for _, node := range nodes {
		if err := s.eachKeyOf(node, pattern, visit); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) eachKeyOf(node redis.Cmdable, pattern string, visit func(keys []string) error) error {
	for cursor := uint64(0); ; {
		var keys []string
		err := s.attempt(func(ctx context.Context, _ int) (err error) {
			keys, cursor, err = node.Scan(ctx, cursor, pattern, scanAtOnce).Result()
			return err
		})
		for len(keys) > 0 && err == nil {
			n := min(len(keys), readAtOnce)
			err = visit(keys[:n])
			keys = keys[n:]
		}
		if err != nil || cursor == 0 {
			return err
		}
	}
}

// handleOf returns the handle that a key names.
func (s *Store) handleOf(key string) (string, bool) {
	handle := strings.TrimSuffix(strings.TrimPrefix(key, s.prefix+"{"), "}")
	return handle, isHex(handle, 64) && key == s.key(handle)
}

// Each implements [store.Keeper].
func (s *Store) Each(visit store.Visit) error {
	return s.eachKey(s.prefix+"{*}", func(keys []string) error {
		return s.look(keys, true, visit)
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

// seen is what is asked of a key, in one go with others.
type seen struct {
	fields *redis.SliceCmd
	size   *redis.IntCmd
	data   *redis.StringCmd // nil: not asked for
}

// look reads the sessions at the keys, and calls visit with each.
func (s *Store) look(keys []string, data bool, visit store.Visit) error {
	var asked []seen
	var now time.Time
	err := s.attempt(func(ctx context.Context, _ int) error {
		asked = nil
		var clock *redis.TimeCmd
		s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			clock = p.Time(ctx)
			for _, key := range keys {
				a := seen{
					fields: p.HMGet(ctx, key, "version", "created", "accessed", "user", "moved", "until"),
					size:   p.HStrLen(ctx, key, "data"),
				}
				if data {
					a.data = p.HGet(ctx, key, "data")
				}
				asked = append(asked, a)
			}
			return nil
		})
		now = clock.Val()
		return firstLost(clock, asked)
	})
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
		if err := visit(found, state, wrong); err != nil {
			return err
		}
	}
	return nil
}

// firstLost returns the first error that no server gave for a key of its own.
func firstLost(clock *redis.TimeCmd, asked []seen) error {
	errs := []error{clock.Err()}
	for _, a := range asked {
		errs = append(errs, a.fields.Err(), a.size.Err())
	}
	for _, err := range errs {
		if err != nil && !strings.HasPrefix(err.Error(), "WRONGTYPE") {
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
	var f [6]string
	for i, v := range a.fields.Val() {
		f[i], _ = v.(string)
	}
	if f[4] != "" {
		if until, _ := strconv.ParseInt(f[5], 10, 64); until <= now.UnixMilli() {
			return found, store.Over, nil
		}
		return found, store.Moved, nil
	}
	if f == [6]string{} {
		if a.size.Val() == 0 {
			return s.unused(found)
		}
		return found, store.Corrupt, errForeign
	}
	var bad [3]error
	var accessed int64
	found.Version, bad[0] = strconv.ParseUint(f[0], 10, 64)
	found.Created, bad[1] = strconv.ParseInt(f[1], 10, 64)
	accessed, bad[2] = strconv.ParseInt(f[2], 10, 64)
	found.Accessed, found.User, found.Size = time.UnixMilli(accessed), f[3], a.size.Val()
	wrong := errors.Join(bad[:]...)
	if a.data != nil && wrong == nil {
		found.Data, wrong = store.ParseData([]byte(a.data.Val()))
	}
	switch {
	case wrong != nil:
		return found, store.Corrupt, errForeign
	case s.opts.Timeout > 0 && now.Sub(found.Accessed) > s.opts.Timeout:
		return found, store.Idle, nil
	case s.opts.Lifetime > 0 && now.Unix()-found.Created > int64(s.opts.Lifetime/time.Second):
		return found, store.Old, nil
	}
	return found, store.Live, nil
}

// unused is a key without a session: gone meanwhile, or locked for one to come.
func (s *Store) unused(found *store.Session) (*store.Session, store.State, error) {
	if lock, err := s.field(found.Handle, "lock"); err != nil || lock == "" {
		return nil, "", nil
	}
	return found, store.Unused, nil
}

// Count implements [store.Keeper].
func (s *Store) Count() (*store.Count, error) {
	c, now := store.NewCount(), time.Now()
	err := s.eachKey(s.prefix+"{*}", func(keys []string) error {
		return s.look(keys, false, func(found *store.Session, state store.State, _ error) error {
			c.Add(found, state, now)
			return nil
		})
	})
	return c, err
}

// Sweep implements [store.Keeper]. The server ends sessions by itself if who
// stores them has limits; here go those that were stored without, and what the
// index of users still has of sessions that ended.
func (s *Store) Sweep(ctx context.Context, how store.Sweep) (store.Swept, error) {
	var done store.Swept
	s.opts.Timeout = how.Timeout
	err := s.Each(func(found *store.Session, state store.State, _ error) error {
		done.Seen++
		if how.Progress != nil && done.Seen%readAtOnce == 0 {
			how.Progress(done)
		}
		if state != store.Idle {
			done.Kept++
			return stopped(ctx)
		}
		if how.MaxDelete > 0 && done.Removed == how.MaxDelete {
			return errStop
		}
		if err := s.sweepOne(found, how, &done); err != nil {
			return err
		}
		return stopped(ctx)
	})
	if err == nil && !how.DryRun {
		err = s.sweepUsers(ctx)
	}
	done.Done = err == nil
	if err == errStop {
		err = nil
	}
	return done, err
}

var errStop = errors.New("stop")

func stopped(ctx context.Context) error {
	if ctx.Err() != nil {
		return errStop
	}
	return nil
}

// sweepOne removes an idle session, unless it is in use after all.
func (s *Store) sweepOne(found *store.Session, how store.Sweep, done *store.Swept) error {
	if !how.DryRun {
		r, err := s.run(readScript, found.Handle, false, "update", "")
		if err != nil {
			return err
		}
		switch r.state() {
		case "expired":
			s.dropUser(found.User, found.Handle)
			s.log("removed", found.Handle)
		case "busy":
			done.Busy++
			return nil
		default:
			done.Kept++
			return nil
		}
	}
	done.Removed++
	done.Bytes += found.Size
	return nil
}

// sweepUsers takes handles out of the index whose sessions have ended.
func (s *Store) sweepUsers(ctx context.Context) error {
	return s.eachKey(s.prefix+"users:{*}", func(keys []string) error {
		for _, key := range keys {
			err := s.eachMember(key, func(members []string) error { return s.mendUsers(key, members) })
			if err == nil {
				err = stopped(ctx)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// mendUsers takes the members out that lead to no key. A session that is about
// to get its user is there before the index leads to it, or the index leads to
// it again once it moves.
func (s *Store) mendUsers(key string, members []string) error {
	var exists []*redis.IntCmd
	err := s.attempt(func(ctx context.Context, _ int) error {
		exists = nil
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, handle := range members {
				exists = append(exists, p.Exists(ctx, s.key(handle)))
			}
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	var dead []any
	for i, handle := range members {
		if exists[i].Val() == 0 {
			dead = append(dead, handle)
		}
	}
	if len(dead) == 0 {
		return nil
	}
	return s.attempt(func(ctx context.Context, _ int) error { return s.client.SRem(ctx, key, dead...).Err() })
}

// LastSweep implements [store.Keeper]: nothing is kept of it.
func (s *Store) LastSweep() store.LastSweep { return store.LastSweep{} }
