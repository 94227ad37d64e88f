package store

// Merge returns the data with a JSON Merge Patch (RFC 7396) applied: members of the
// patch replace those of the same name, null removes them, and objects are merged. It
// takes time in proportion to the two texts, however deep they nest: each byte is
// scanned at most twice.
func (d Data) Merge(patch Data) Data {
	changes, _ := parsePatch(patch, 0)
	merged, _ := changes.appendTo(make([]byte, 0, len(d)+len(patch)), d, 0)
	return merged
}

// An objectPatch is one object of a merge patch, its members in order.
type objectPatch []memberPatch

// memberPatch is one member of an objectPatch.
type memberPatch struct {
	quoted []byte // the name as it is written
	label  []byte // that and the colon
	value  Value
	object objectPatch // the members of value, if it is an object; else nil
}

// parsePatch parses the object at text[i], and returns the offset past it.
func parsePatch(text []byte, i int) (objectPatch, int) {
	o := objectPatch{}
	s := scan(text, i)
	for s.next() {
		m := memberPatch{quoted: s.name, label: text[s.start:s.value]}
		if s.isObject() {
			var end int
			m.object, end = parsePatch(text, s.value)
			s.leave(end)
		}
		m.value = text[s.value:s.end()]
		o = append(o, m)
	}
	return o, s.at
}

// isNull reports whether the patch removes the member.
func (m memberPatch) isNull() bool { return m.value.kind() == "null" }

// appendTo appends the result of MergePatch(target, patch) of RFC 7396 §2, for the
// object at target[i] and this patch. It also returns the offset past that object. New
// members go last.
func (o objectPatch) appendTo(dst, target []byte, i int) ([]byte, int) {
	left := o.byName()
	dst = append(dst, '{')
	first := len(dst)
	s := scan(target, i)
	for s.next() {
		m := left.take(s.name)
		switch {
		case m == nil:
			dst = append(separate(dst, first), target[s.start:s.end()]...)
		case !m.isNull():
			dst = append(separate(dst, first), target[s.start:s.value]...)
			dst = m.appendOver(dst, s)
		}
	}
	for _, m := range o {
		if left.take(m.quoted) != nil && !m.isNull() {
			dst = m.appendNew(append(separate(dst, first), m.label...))
		}
	}
	return append(dst, '}'), s.at
}

// membersLeft are the members of a patch that are not applied yet, by name.
type membersLeft map[string]*memberPatch

// byName returns all members of the patch.
func (o objectPatch) byName() membersLeft {
	left := make(membersLeft, len(o))
	for i := range o {
		left[unquote(o[i].quoted)] = &o[i]
	}
	return left
}

// take removes and returns the member with this quoted name; nil if there is none.
func (l membersLeft) take(quoted []byte) *memberPatch {
	if len(l) == 0 {
		return nil
	}
	name := unquote(quoted)
	m := l[name]
	delete(l, name)
	return m
}

// separate appends a comma, unless nothing was written since first, the start of an
// object's members.
func separate(dst []byte, first int) []byte {
	if len(dst) > first {
		dst = append(dst, ',')
	}
	return dst
}

// appendOver appends the member's value, merged into the value that s is at.
func (m memberPatch) appendOver(dst []byte, s *scanner) []byte {
	if m.object == nil || !s.isObject() {
		return m.appendNew(dst)
	}
	dst, end := m.object.appendTo(dst, s.text, s.value)
	s.leave(end)
	return dst
}

// appendNew appends the member's value where the target has none. Members that are null
// are left out (RFC 7396 §2).
func (m memberPatch) appendNew(dst []byte) []byte {
	if m.object == nil {
		return append(dst, m.value...)
	}
	dst, _ = m.object.appendTo(dst, Empty, 0)
	return dst
}
