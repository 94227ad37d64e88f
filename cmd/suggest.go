package cmd

// This file finds the known name that a mistyped one is close to. A message holds the
// known name only: what was typed may be a token in the wrong place.

import (
	"cmp"
	"strings"
)

// maxTypos bounds how far a mistyped name may be from the known one, as distance
// counts. A third of the longer one's length is a bound too, so that short names that
// are merely different are not suggested.
const maxTypos = 3

// nearest returns the name that text most likely stands for, or "" if none is close.
// Letter case does not count, nor "_" in place of "-".
func nearest(text string, names []string) string {
	best, least := "", maxTypos+1
	for _, name := range names {
		shorter, longer := min(len(text), len(name)), max(len(text), len(name))
		bound := min(longer/3, least-1)
		if longer-shorter > bound {
			continue
		}
		if d := distance(plainName(text), plainName(name)); d <= bound {
			best, least = name, d
		}
	}
	return best
}

// meant returns the name that text most likely stands for, or "": the shortest one that
// holds it, or the nearest one, or the longest one within it. SAMESITE leads to
// COOKIE_SAME_SITE, and IDLE_TIMEOUT to TIMEOUT. Texts under 3 bytes, and names under 4
// within text, are in too many others.
func meant(text string, names []string) string {
	joined := func(s string) string { return strings.ReplaceAll(plainName(s), "-", "") }
	shortest, longest := "", ""
	typed := joined(text)
	for _, name := range names {
		n := joined(name)
		holds, within := len(typed) >= 3 && strings.Contains(n, typed), len(n) >= 4 && strings.Contains(typed, n)
		if holds && (shortest == "" || len(n) < len(joined(shortest))) {
			shortest = name
		}
		if within && len(n) > len(joined(longest)) {
			longest = name
		}
	}
	return cmp.Or(shortest, nearest(text, names), longest)
}

// plainName returns the name in the letters of flags.
func plainName(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// distance returns how many bytes must be inserted, removed or replaced, or swapped
// with the next one, to make b from a (the optimal string alignment distance).
func distance(a, b string) int {
	row := make([][]int, len(a)+1) // row[i][j]: from a[:i] to b[:j]
	for i := range row {
		row[i] = make([]int, len(b)+1)
		for j := range row[i] {
			switch {
			case i == 0 || j == 0:
				row[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				row[i][j] = row[i-1][j-1]
				continue
			}
			row[i][j] = 1 + min(row[i-1][j], row[i][j-1], row[i-1][j-1])
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[i][j] = min(row[i][j], 1+row[i-2][j-2])
			}
		}
	}
	return row[len(a)][len(b)]
}
