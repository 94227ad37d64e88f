//go:build redis

package redis

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"cgisession/store"
)

// Sweep implements [store.Operator]. Sessions that are stored with limits are ended by
// the server. A sweep ends those that were stored without, removes what another
// program wrote in their place and the copies of moves that were not made, and then
// removes ended sessions from the index of users.
//
// It goes on where the last one stopped early. With DryRun it begins at the first key,
// changes nothing, and leaves out the index.
func (s *Store) Sweep(ctx context.Context, how store.Sweep) (store.Swept, error) {
	w := sweep{s: s, how: how, ctx: ctx, until: time.Now().Add(how.MaxTime)}
	last, err := s.sweptBefore()
	if err != nil {
		return w.done, err
	}
	if how.DryRun {
		last.at, last.users = position{}, false
	}
	if !last.users {
		err = s.eachKeyFrom(last.at, s.prefix+"{*}", w.sessions)
		last.at = position{}
	}
	if err == nil && !how.DryRun {
		w.inUsers = true
		err = s.eachKeyFrom(last.at, s.prefix+"users:{*}", w.users)
	}
	w.done.Done = err == nil
	w.done.Note = "the server ends sessions that have a --timeout or --lifetime by itself; these had none"
	if w.done.Done && !how.DryRun {
		w.at, w.inUsers = position{}, false
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

// errStop ends a walk through the keys early: MaxTime or MaxDelete is reached, or the
// context is done. It is no error of the sweep.
var errStop = errors.New("stop")

// sweep is a sweep under way.
type sweep struct {
	s       *Store
	how     store.Sweep
	ctx     context.Context
	until   time.Time // when MaxTime is over
	at      position  // of the keys at hand
	inUsers bool      // these are keys of the index of users
	pages   int       // how many pages of keys were looked at, with this one
	done    store.Swept
}

// turn notes at which keys the sweep is, and returns errStop when it is time to
// stop, but not before something was done: otherwise the next sweep would begin here
// again, and so on for ever.
func (w *sweep) turn(at position) error {
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

// sessions sweeps the sessions at these keys.
func (w *sweep) sessions(keys []string, at position) error {
	if err := w.turn(at); err != nil {
		return err
	}
	err := w.s.visitAll(keys, false, w.session)
	w.s.opts.ReportProgress(store.Progress{Seen: w.done.Seen, Removed: w.done.Removed})
	return err
}

// session removes a session that is due, and counts it as Removed, Kept or Busy.
func (w *sweep) session(found *store.Session, state store.State, _ error) error {
	if state == unlisted {
		return w.dropCopy(found)
	}
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

// dropCopy removes the copy of a move that was not made, if it is older than
// movingTime. Of what is unlisted only copies have a version. It is not counted.
func (w *sweep) dropCopy(found *store.Session) error {
	if w.how.DryRun || found.Version == 0 {
		return nil
	}
	w.s.budget.waited()
	_, err := w.s.run(abandonedScript, found.Handle, false, milliseconds(movingTime))
	return err
}

// remove removes what is too old, unless it was used or locked meanwhile, and returns
// where it is counted. The script decides by what is there then: for a session it is
// that of an update, which ends a session past its limits.
func (w *sweep) remove(found *store.Session, state store.State) (*int64, error) {
	s := w.s
	if w.how.DryRun {
		if state == store.Idle || !found.Accessed.IsZero() && s.opts.State(found, time.Now()) == store.Idle {
			return &w.done.Removed, nil
		}
		return &w.done.Kept, nil
	}
	script, how := readScript, []any{"update 0", ""} // 0: what stays is not read
	if state == store.Corrupt {
		script, how = foreignScript, nil
	}
	s.budget.waited()
	r, err := s.run(script, found.Handle, false, how...)
	switch {
	case err != nil:
		return nil, err
	case r.status() == statusBusy:
		return &w.done.Busy, nil
	case r.status() != statusExpired:
		return &w.done.Kept, nil
	}
	s.dropUser(found.User, found.Handle)
	s.opts.LogEvent("removed", found.Handle)
	return &w.done.Removed, nil
}

// sweptKey returns the key of the hash that describes the last sweep:
//
//	ended          Unix seconds by the clock of the machine that swept
//	seen, removed  counts
//	node, cursor   the position where the next sweep goes on
//	users          1: that is in the index of users
//
// If it is lost, the next sweep begins at the first key.
func (s *Store) sweptKey() string { return s.prefix + "swept" }

// swept is what that hash holds.
type swept struct {
	store.LastSweep
	at    position // where to go on
	users bool     // that is in the index of users
}

// remember describes this sweep for the next one.
func (w *sweep) remember() error {
	s := w.s
	return s.attempt(func(ctx context.Context, _ int) error {
		answer, err := sweptScript().Run(ctx, s.client, []string{s.sweptKey()},
			"ended", time.Now().Unix(), "seen", w.done.Seen, "removed", w.done.Removed,
			"node", w.at.node, "cursor", w.at.cursor, "users", w.inUsers).StringSlice()
		if err == nil && !slices.Equal(answer, []string{string(statusLive)}) {
			err = errNoRedis
		}
		return err
	})
}

// sweptBefore returns the description of the last sweep; the zero value: there is none.
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

// LastSweep implements [store.Operator].
func (s *Store) LastSweep() (store.LastSweep, error) {
	last, err := s.sweptBefore()
	return last.LastSweep, err
}
