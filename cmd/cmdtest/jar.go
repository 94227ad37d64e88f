package cmdtest

import (
	"net/http"
	"regexp"
	"strings"
)

// Cookies returns the Cookie header of a browser's next request: the last one's
// header, as the Set-Cookie lines in an answer's head have changed it. It returns
// what they set too, deletions included.
func Cookies(header, head string) (next string, set []*http.Cookie, err error) {
	var pairs []string
	changed := make(map[string]bool)
	for line := range strings.Lines(head) {
		text, ok := strings.CutPrefix(line, "Set-Cookie: ")
		if !ok {
			continue
		}
		c, err := http.ParseSetCookie(strings.TrimRight(text, "\r\n"))
		if err != nil {
			return "", nil, err
		}
		set = append(set, c)
		changed[c.Name] = true
		if c.MaxAge >= 0 {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
	}
	for pair := range strings.SplitSeq(header, "; ") {
		if name, _, ok := strings.Cut(pair, "="); ok && !changed[name] {
			pairs = append(pairs, pair)
		}
	}
	return strings.Join(pairs, "; "), set, nil
}

var newID = regexp.MustCompile(`(?m)^Set-Cookie: cgisession_id=([a-z2-7]{32});`)

// NewIDs returns the ids of new sessions in Set-Cookie lines.
func NewIDs(head string) (ids []string) {
	for _, found := range newID.FindAllStringSubmatch(head, -1) {
		ids = append(ids, found[1])
	}
	return ids
}
