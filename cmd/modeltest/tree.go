package modeltest

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// A node is a JSON value: a *object, a *array, or the text of a scalar.
type node any

type object struct {
	names  []string
	values map[string]node
}

type array struct{ items []node }

func newObject() *object { return &object{values: map[string]node{}} }

func (o *object) set(name string, v node) {
	if _, ok := o.values[name]; !ok {
		o.names = append(o.names, name)
	}
	o.values[name] = v
}

func (o *object) remove(name string) {
	delete(o.values, name)
	o.names = slices.DeleteFunc(o.names, func(n string) bool { return n == name })
}

// quote writes the few strings that steps use: none needs more than this.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

func text(v node) string {
	switch v := v.(type) {
	case *object:
		var parts []string
		for _, name := range v.names {
			parts = append(parts, quote(name)+":"+text(v.values[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case *array:
		var parts []string
		for _, item := range v.items {
			parts = append(parts, text(item))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return v.(string)
}

func clone(v node) node {
	switch v := v.(type) {
	case *object:
		c := newObject()
		for _, name := range v.names {
			c.set(name, clone(v.values[name]))
		}
		return c
	case *array:
		c := &array{}
		for _, item := range v.items {
			c.items = append(c.items, clone(item))
		}
		return c
	}
	return v
}

func isNumber(v node) bool {
	s, ok := v.(string)
	return ok && s != "" && strings.Contains("-0123456789", s[:1])
}

// steps parts a KEY; false: it is malformed.
func steps(key string) ([]string, bool) {
	if !strings.HasPrefix(key, "/") {
		return []string{key}, true
	}
	var parts []string
	for part := range strings.SplitSeq(key[1:], "/") {
		rest := strings.NewReplacer("~0", "", "~1", "").Replace(part)
		if strings.Contains(rest, "~") {
			return nil, false
		}
		parts = append(parts, strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
	}
	return parts, true
}

// index returns the element that a step names, -1 for none.
func (a *array) index(step string) int {
	n, err := strconv.Atoi(step)
	if err != nil || strconv.Itoa(n) != step || n < 0 || n >= len(a.items) {
		return -1
	}
	return n
}

// find returns the value at a path.
func find(v node, path []string) (node, bool) {
	for _, step := range path {
		switch at := v.(type) {
		case *object:
			next, ok := at.values[step]
			if !ok {
				return nil, false
			}
			v = next
		case *array:
			i := at.index(step)
			if i < 0 {
				return nil, false
			}
			v = at.items[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// put stores a value at a path; false: the path leads nowhere.
func put(root node, path []string, v node) (node, bool) {
	if len(path) == 0 {
		return v, true
	}
	step := path[0]
	switch at := root.(type) {
	case nil:
		if step == "-" {
			inner, ok := put(nil, path[1:], v)
			return &array{[]node{inner}}, ok
		}
		o := newObject()
		inner, ok := put(nil, path[1:], v)
		o.set(step, inner)
		return o, ok
	case *object:
		inner, ok := put(at.values[step], path[1:], v)
		if ok {
			at.set(step, inner)
		}
		return at, ok
	case *array:
		if step == "-" || step == strconv.Itoa(len(at.items)) {
			inner, ok := put(nil, path[1:], v)
			at.items = append(at.items, inner)
			return at, ok
		}
		i := at.index(step)
		if i < 0 {
			return nil, false
		}
		inner, ok := put(at.items[i], path[1:], v)
		if ok {
			at.items[i] = inner
		}
		return at, ok
	}
	return nil, false
}

// drop removes the value at a path, and reports whether there was one.
func drop(root node, path []string) bool {
	last := path[len(path)-1]
	parent, ok := find(root, path[:len(path)-1])
	if !ok {
		return false
	}
	switch at := parent.(type) {
	case *object:
		if _, ok := at.values[last]; ok {
			at.remove(last)
			return true
		}
	case *array:
		if i := at.index(last); i >= 0 {
			at.items = slices.Delete(at.items, i, i+1)
			return true
		}
	}
	return false
}

// merge is MergePatch of RFC 7396.
func merge(target, patch node) node {
	p, ok := patch.(*object)
	if !ok {
		return patch
	}
	o, ok := target.(*object)
	if !ok {
		o = newObject()
	}
	for _, name := range p.names {
		if p.values[name] == "null" {
			o.remove(name)
		} else {
			o.set(name, merge(o.values[name], p.values[name]))
		}
	}
	return o
}

// add adds two numbers without exponents, with as many decimals as either has.
func add(a, b string) string {
	decimals := func(s string) int {
		_, after, _ := strings.Cut(s, ".")
		return len(after)
	}
	x, _ := new(big.Rat).SetString(a)
	y, _ := new(big.Rat).SetString(b)
	n := max(decimals(a), decimals(b))
	sum := x.Add(x, y).FloatString(n)
	if sum = strings.TrimPrefix(sum, "-"); strings.Trim(sum, "0.") != "" && x.Sign() < 0 {
		return "-" + sum
	}
	return sum
}
