//go:build redis && linux

package redis_test

import (
	"strconv"
	"testing"
	"time"

	"cgisession/store"
	"cgisession/store/redis"
	"cgisession/store/redis/redistest"
	"cgisession/store/storetest"
)

func TestRedis(t *testing.T) {
	server := redistest.Start(t)
	storetest.Run(t, backend(server.URL(), server))
}

func TestCluster(t *testing.T) {
	nodes := redistest.Cluster(t, 3)
	storetest.Run(t, backend("redis+cluster://"+nodes[0].Addr(), nodes[0], "-c"))
}

// backend is the back end that keeps its sessions in a server, for storetest.
func backend(url string, server *redistest.Server, flags ...string) storetest.Setup {
	return storetest.Setup{
		Open: func(t *testing.T, opts store.Options) store.Backend { return open(t, url, opts) },
		Age: func(t *testing.T, handle string, idle, age time.Duration) {
			t.Helper()
			now := time.Now()
			server.Do(t, append(flags, "hset", key(handle),
				"accessed", strconv.FormatInt(now.Add(-idle).UnixMilli(), 10),
				"created", strconv.FormatInt(now.Add(-age).Unix(), 10))...)
		},
		ForgetUser: func(t *testing.T, user string) {
			t.Helper()
			server.Do(t, append(flags, "del", "cgisession:users:{"+store.UserKey("", user)+"}")...)
		},
	}
}

func key(handle string) string { return "cgisession:{" + handle + "}" }

func open(t *testing.T, url string, opts store.Options) *redis.Store {
	t.Helper()
	s, err := redis.Open(redis.Config{URL: url, Prefix: "cgisession:"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
