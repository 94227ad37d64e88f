package file_test

import (
	"fmt"
	"testing"

	"cgisession/store"
)

// BenchmarkFile has sessions of 1 and 20 KB, in memory where there is such a file
// system.
func BenchmarkFile(b *testing.B) {
	f := open(b, memory(b), patient)
	for _, size := range []int{1000, 20_000} {
		s := create(b, f, sized(size))
		change := save(sized(size))
		for _, bench := range []struct {
			name string
			run  func() (*store.Session, error)
		}{
			{"load", func() (*store.Session, error) { return f.Update(s.Handle, false, keep) }},
			{"save", func() (*store.Session, error) { return f.Update(s.Handle, false, change) }},
			{"peek", func() (*store.Session, error) { return f.Read(s.Handle, store.Peek) }},
			{"snapshot", func() (*store.Session, error) { return f.Read(s.Handle, store.Snapshot) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", bench.name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := bench.run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("create and remove", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s := create(b, f, sized(1000))
			if _, err := f.Update(s.Handle, false, remove); err != nil {
				b.Fatal(err)
			}
		}
	})
}
