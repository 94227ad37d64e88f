// Package bigstack, where it is imported, enlarges the stack of the goroutine
// that the program begins on before other packages begin.
//
// That goroutine starts with 2 KB, which the runtime doubles when they are full:
// each time it walks the stack, through pages of the program that nothing else
// needs, and copies it. One large step while there is nothing to copy saves a
// call of a verb 7 % of its time. Packages begin in the order of their paths once
// what they import has begun (Go specification, "Program initialization"), so
// this one, which imports nothing, is among the first. In any other order it
// would save less, no more.
package bigstack

// size is what a call needs at most, in bytes.
const size = 15 << 10

var _ = touch(0)

//go:noinline
func touch(i int) byte {
	var stack [size]byte
	return stack[i]
}
