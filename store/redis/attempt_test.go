//go:build redis && linux

package redis

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"cgisession/store"
	"cgisession/store/redis/redistest"
)

// beforeEach does something before each command that is sent alone.
type beforeEach func(cmd redis.Cmder) error

func (beforeEach) DialHook(next redis.DialHook) redis.DialHook { return next }

func (do beforeEach) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := do(cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (beforeEach) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// TestCallTime has a server that answers slowly, and one that does not at all. With
// Once, all reads share the time of one call; without, the time lost to a server that
// does not answer stays lost. So of 60 reads the last sends no request.
func TestCallTime(t *testing.T) {
	url := redistest.Start(t).URL()
	for _, tt := range []struct {
		name string
		once bool
		slow func(redis.Cmder) error
	}{
		{"slow", true, func(redis.Cmder) error { time.Sleep(250 * time.Millisecond); return nil }},
		{"silent", false, func(redis.Cmder) error { time.Sleep(150 * time.Millisecond); return io.EOF }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(Config{URL: url, Prefix: "p:", Once: tt.once}, cutOptions)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var asked atomic.Int64
			s.client.AddHook(beforeEach(func(cmd redis.Cmder) error {
				asked.Add(1)
				return tt.slow(cmd)
			}))
			var last error
			for range 60 {
				_, last = s.Read(store.Handle("a", store.NewID()), store.Peek)
			}
			if !errors.Is(last, store.ErrUnavailable) {
				t.Errorf("the last of 60 reads: %v; want %v", last, store.ErrUnavailable)
			}
			if n := asked.Load(); n >= 60 {
				t.Errorf("60 reads sent %d requests; want fewer", n)
			}
		})
	}
}
