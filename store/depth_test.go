package store

import (
	"fmt"
	"strings"
	"testing"
)

// deepData returns 1 MB of data, most of it depth levels deep, and the JSON
// Pointer of the object there.
func deepData(depth int) (Data, string) {
	bulk := `"bulk":[` + strings.Repeat(`{"n":1234567,"t":"text"},`, 40_000) + `0],"n":1`
	return Data(strings.Repeat(`{"k":`, depth-1) + "{" + bulk + "}" + strings.Repeat("}", depth-1)), strings.Repeat("/k", depth-1)
}

// BenchmarkDepth shows that the time depends on how long data are, not on how
// deep they nest: at depth 510 each takes at most twice what it takes at depth 1.
func BenchmarkDepth(b *testing.B) {
	for _, depth := range []int{1, 510} {
		d, at := deepData(depth)
		patch := Data(strings.Repeat(`{"k":`, depth-1) + `{"n":2}` + strings.Repeat("}", depth-1))
		for _, bench := range []struct {
			name string
			run  func() error
		}{
			{"parse", func() error { _, err := ParseData(d); return err }},
			{"merge small into large", func() error { d.Merge(patch); return nil }},
			{"merge large into small", func() error { patch.Merge(d); return nil }},
			{"merge large into large", func() error { d.Merge(d); return nil }},
			{"merge large into nothing", func() error { Empty.Merge(d); return nil }},
			{"get", func() error { _, _, err := d.Get(at + "/n"); return err }},
			{"get nothing", func() error { _, _, err := d.Get(at + "/none"); return err }},
			{"set", func() error { _, err := d.Set(at+"/n", Value("2")); return err }},
			{"set new", func() error { _, err := d.Set(at+"/new", Value("2")); return err }},
			{"unset", func() error { _, _, err := d.Unset(at + "/n"); return err }},
			{"add", func() error { _, _, err := d.Add(at+"/n", "1"); return err }},
			{"append", func() error { _, _, err := d.Append(at+"/bulk", Value("1")); return err }},
		} {
			b.Run(fmt.Sprintf("%s/%d", bench.name, depth), func(b *testing.B) {
				for b.Loop() {
					if err := bench.run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
