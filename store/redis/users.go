//go:build redis

package redis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
)

// usersKey returns the key of a user's set in the index of users. The set has the handles
// of the user's sessions, under all cookie names, and may have others: the index only
// finds sessions; whose they are, the sessions say. The server removes a set with its last
// member.
//
// The cookie names stand in the sessions alone. One round trip asks for those of all
// members, and waits for no lock. Sets of one name would be further keys, in a cluster on
// other servers, to be kept in step with this one; and a cleanup by an older program, on
// another machine, would take members with a name for handles that have ended.
func (s *Store) usersKey(user string) string {
	return s.prefix + "users:{" + store.UserKey("", user) + "}"
}

// addUser adds the handle to the user's set; without a user it does nothing. The error is
// [store.ErrCorrupt] if the key of the set holds something else.
func (s *Store) addUser(user, handle string) error {
	if user == "" {
		return nil
	}
	key := s.usersKey(user)
	return ofIndex(key, s.attempt(func(ctx context.Context, _ int) error {
		return s.client.SAdd(ctx, key, handle).Err()
	}))
}

// ofIndex replaces the error of a server by a foreignError, if it means that the key
// of the index is no set.
func ofIndex(key string, err error) error {
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") { // failed has wrapped it
		return foreignError{key, "it belongs to the index of users, but holds what another program wrote; " +
			"delete it, and run doctor --repair"}
	}
	return err
}

// dropUser removes the handle from the user's set. One that stays does no harm.
func (s *Store) dropUser(user, handle string) {
	if user == "" {
		return
	}
	s.attempt(func(ctx context.Context, _ int) error {
		return s.client.SRem(ctx, s.usersKey(user), handle).Err()
	})
}

// UserHandles implements [store.Operator]. Like SSCAN it may name a handle twice.
func (s *Store) UserHandles(user, cookieName string, visit func(handle string) error) error {
	return s.eachMember(s.usersKey(user), func(handles []string) error {
		handles = slices.DeleteFunc(handles, func(handle string) bool { return !store.IsHandle(handle) })
		if cookieName != "" && len(handles) > 0 {
			names, err := s.fields(handles, "cookie_name")
			if err != nil {
				return err
			}
			handles = ofName(handles, names, cookieName)
		}
		for _, handle := range handles {
			if err := visit(handle); err != nil {
				return err
			}
		}
		return nil
	})
}

// ofName returns the handles whose session has this cookie name or none.
func ofName(handles []string, names [][]string, cookieName string) (of []string) {
	for i, handle := range handles {
		if name := names[i][0]; name == "" || name == cookieName {
			of = append(of, handle)
		}
	}
	return of
}

// eachMember calls visit with the members of a set of the index, some at a time.
func (s *Store) eachMember(key string, visit func(members []string) error) error {
	var cursors circle
	for cursor := uint64(0); ; {
		s.budget.waited()
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
		if cursors.closes(cursor) {
			return s.failed(errNoRedis)
		}
	}
}

// users removes the handles of ended sessions from these keys of the index. A key that
// another program wrote is left alone.
func (w *sweep) users(keys []string, at position) error {
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

// mendUsers removes the members of a set that lead to no key. A session may be
// created at one of them meanwhile: a member that leads to a key by then is put back.
func (s *Store) mendUsers(key string, members []string) error {
	dead, err := s.absent(members)
	if err != nil || len(dead) == 0 {
		return err
	}
	err = s.attempt(func(ctx context.Context, _ int) error { return s.client.SRem(ctx, key, anys(dead)...).Err() })
	if err != nil {
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
	putBack := func(ctx context.Context, _ int) error { return s.client.SAdd(ctx, key, anys(born)...).Err() }
	return cmp.Or(s.attempt(putBack), err)
}

// absent returns those of the handles that lead to no key, in one round trip.
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
