package store

import (
	"math/big"
	"strconv"
	"strings"
)

// maxDigits is the largest number of digits that [Data.Add] writes: 1e999999999 is
// short as JSON, but a gigabyte without an exponent.
const maxDigits = 10_000

// sumOf returns a+b. It reports false if that needs more than maxDigits digits.
func sumOf(a, b string) (string, bool) {
	digitsA, expA, okA := splitNumber(a)
	digitsB, expB, okB := splitNumber(b)
	low := min(expA, expB, 0)
	if !okA || !okB || len(digitsA)+expA-low > maxDigits || len(digitsB)+expB-low > maxDigits {
		return "", false
	}
	x, okA := new(big.Int).SetString(digitsA+strings.Repeat("0", expA-low), 10)
	y, okB := new(big.Int).SetString(digitsB+strings.Repeat("0", expB-low), 10)
	if !okA || !okB {
		return "", false
	}
	sum := x.Add(x, y).String()
	if low == 0 {
		return sum, true
	}
	abs := strings.TrimPrefix(sum, "-")
	sign := sum[:len(sum)-len(abs)]
	if short := 1 - low - len(abs); short > 0 {
		abs = strings.Repeat("0", short) + abs
	}
	point := len(abs) + low
	return sign + abs[:point] + "." + abs[point:], true
}

// splitNumber splits a JSON number into digits × 10^exp; the digits have the sign. It
// reports false if the exponent alone is beyond maxDigits.
func splitNumber(text string) (digits string, exp int, ok bool) {
	mantissa, power := text, "0"
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, power = text[:i], text[i+1:]
	}
	exp, err := strconv.Atoi(power)
	if err != nil || exp > maxDigits || exp < -maxDigits {
		return "", 0, false
	}
	whole, decimals, _ := strings.Cut(mantissa, ".")
	return whole + decimals, exp - len(decimals), true
}
