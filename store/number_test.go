package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestAdd(t *testing.T) {
	const bad = "error"
	nines := strings.Repeat("9", maxDigits-1)
	for _, tt := range []struct{ old, by, want string }{ // old "" is absent
		{"", "1", "1"},
		{"", "-1.50", "-1.50"},
		{"", "1e3", "1000"},
		{"41", "1", "42"},
		{"0", "-1", "-1"},
		{"-0", "0", "0"},
		{"9007199254740993", "1", "9007199254740994"},
		{"9223372036854775807", "1", "9223372036854775808"},
		{"-9223372036854775808", "-1", "-9223372036854775809"},
		{nines, "1", "1" + strings.Repeat("0", maxDigits-1)},
		{"0.1", "0.2", "0.3"},
		{"0.10", "0.2", "0.30"},
		{"1.5", "0.5", "2.0"},
		{"-0.05", "0.04", "-0.01"},
		{"1", "-0.001", "0.999"},
		{"-0.5", "0.5", "0.0"},
		{"1.5e1", "1E-2", "15.01"},
		{"1.25E+1", "0", "12.5"},
		{"1e22", "1", "10000000000000000000001"},
		{"0e5", "1", "1"},
		{"1e999999999", "1", bad},
		{"1", "1e-999999999", bad},
		{"1e99999999999999999999", "1", bad},
		{"1e9223372036854775807", "1", bad},
		{"1.5", "1.5e-9223372036854775808", bad},
		{"1e10000", "0", bad},
		{"1e6000", "1e-6000", bad},
		{nines + "99", "1", bad},
		{`"1"`, "1", bad},
		{"null", "1", bad},
		{"[1]", "1", bad},
		{"{}", "1", bad},
		{"true", "1", bad},
	} {
		d := Empty
		if tt.old != "" {
			d = mustData(t, `{"z":0,"k":{"n":`+tt.old+`},"a":1}`)
		}
		got, sum, err := d.Add("/k/n", tt.by)
		if tt.want == bad {
			if got != nil || sum != nil || !errors.Is(err, ErrBadStep) {
				t.Errorf("%.30s + %s = %.30s, %v; want ErrBadStep", tt.old, tt.by, sum, err)
			}
			continue
		}
		want := `{"k":{"n":` + tt.want + `}}`
		if tt.old != "" {
			want = `{"z":0,"k":{"n":` + tt.want + `},"a":1}`
		}
		if err != nil || string(sum) != tt.want || string(got) != want {
			t.Errorf("%.30s + %s = %.30s, %.60s, %v; want %.30s", tt.old, tt.by, sum, got, err, tt.want)
		}
	}

	d := mustData(t, `{"n":1,"a":[1],"s":"s"}`)
	for _, by := range []string{"", "+1", "x", "01", ".5", "1.", `"1"`, "null", "1 2", "0x1", "NaN"} {
		if _, _, err := d.Add("n", by); !errors.Is(err, ErrBadJSON) {
			t.Errorf("by %q: %v; want ErrBadJSON", by, err)
		}
	}
	if got, sum, err := d.Add("/a/-", "2"); err != nil || string(sum) != "2" || string(got) != `{"n":1,"a":[1,2],"s":"s"}` {
		t.Errorf("Add at /a/- = %s, %s, %v", got, sum, err)
	}
	if _, _, err := d.Add("/s/n", "2"); !errors.Is(err, ErrBadStep) {
		t.Errorf("Add through a string: %v", err)
	}
	if _, _, err := d.Add("/~", "2"); !errors.Is(err, ErrBadKey) {
		t.Errorf("Add at /~: %v", err)
	}
}

// The oracle is big.Rat, which knows no digits and no exponents.
func TestAddRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	number := func() string {
		text := strconv.FormatUint(rng.Uint64()>>rng.IntN(64), 10)
		if rng.IntN(2) == 0 {
			text = "-" + text
		}
		if rng.IntN(2) == 0 {
			text += fmt.Sprintf(".%0*d", 1+rng.IntN(6), rng.IntN(1000))
		}
		if rng.IntN(3) == 0 {
			text += fmt.Sprintf("e%d", rng.IntN(61)-30)
		}
		return text
	}
	for range 5000 {
		a, b := number(), number()
		d := mustData(t, `{"n":`+a+`}`)
		_, sum, err := d.Add("n", b)
		if err != nil {
			t.Fatalf("%s + %s: %v", a, b, err)
		}
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		got, ok := new(big.Rat).SetString(string(mustValue(t, string(sum))))
		if !ok || got.Cmp(x.Add(x, y)) != 0 || bytes.ContainsAny(sum, "eE") {
			t.Fatalf("%s + %s = %s", a, b, sum)
		}
		if !strings.ContainsAny(a+b, ".e") && bytes.Contains(sum, []byte(".")) {
			t.Fatalf("%s + %s = %s, no integer", a, b, sum)
		}
	}
}
