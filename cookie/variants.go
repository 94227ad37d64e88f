package cookie

import (
	"slices"
	"strings"
)

// What Variants returns at most. A web server's buffer for all header lines may
// be no more than 4 KiB.
const (
	maxVariants     = 12
	maxVariantBytes = 1500 // with the line ends
)

// Variants returns header lines, without line ends, that delete cookies called
// name which a browser may keep beside the one that Set stores with a. A browser
// keeps one cookie for each Path and Domain (RFC 6265 §5.3), and sends all that fit.
// The others come from former settings, or were planted by another page or host.
//
// The likeliest come first: without a Domain and with each that is known, at "/"
// and a.Path, then in the directories of script, the path in the script's URL.
// The known domains are a.Domain, host, which is the server's name, and the
// parents of both. A host that is no name of two labels or more, such as an IP
// address, is left out. So is what browsers would drop (see [Check]), and the
// cookie of a itself.
func Variants(name string, a Attributes, host, script string) (lines []string) {
	own := hostName(strings.TrimPrefix(a.Domain, "."))
	room := maxVariantBytes
	for _, v := range variants(a.Path, own, hostName(host), script) {
		if v == (variant{a.Path, own}) {
			continue
		}
		attributes := a
		attributes.Path, attributes.Domain = v.path, v.domain
		line, err := Delete(name, attributes)
		if size := len(line) + len("\r\n"); err == nil && size <= room && len(lines) < maxVariants {
			lines, room = append(lines, line), room-size
		}
	}
	return lines
}

// A variant is what browsers tell cookies of one name apart by.
type variant struct{ path, domain string }

// variants returns all combinations, the likeliest first.
func variants(path, own, host, script string) (all []variant) {
	domains, dirs := variantDomains(own, host), directories(script)
	for _, path := range slices.Compact([]string{"/", path}) {
		for _, domain := range domains {
			all = append(all, variant{path, domain})
		}
	}
	for _, domain := range domains {
		for _, dir := range dirs {
			if dir != path && dir != "/" {
				all = append(all, variant{dir, domain})
			}
		}
	}
	return all
}

// variantDomains returns the Domain of each variant, empty for a cookie without
// one. Those that do not fit into maxVariants lines are left out.
func variantDomains(own, host string) []string {
	domains := []string{""}
	add := func(domain string) {
		if domain != "" && len(domains) < maxVariants && !slices.Contains(domains, domain) {
			domains = append(domains, domain)
		}
	}
	add(own)
	add(host)
	for _, domain := range []string{own, host} {
		for domain != "" {
			_, parent, _ := strings.Cut(domain, ".")
			domain = hostName(parent)
			add(domain)
		}
	}
	return domains
}

// directories returns the directories of a script, the nearest first: without a
// slash at the end, as in a cookie that was set without a Path (RFC 6265 §5.1.4),
// and then with one. Those that do not fit into maxVariants lines are left out.
func directories(script string) (dirs []string) {
	for _, end := range []string{"", "/"} {
		path := script[:min(len(script), maxAttribute+1)] // browsers ignore a longer one
		for slash := strings.LastIndexByte(path, '/'); slash > 0; slash = strings.LastIndexByte(path, '/') {
			path = path[:slash]
			if len(dirs) < maxVariants && !slices.Contains(dirs, path+end) && checkPath(path+end) == nil {
				dirs = append(dirs, path+end)
			}
		}
	}
	return dirs
}

// hostName returns name in lower case, or "" if it is no host name of two labels
// or more (RFC 1123 §2.1; '_' is what intranets have). A name whose last label is
// a number is an IPv4 address (URL Standard, "ends in a number checker").
func hostName(name string) string {
	labels := strings.Split(name, ".")
	last := strings.ToLower(labels[len(labels)-1])
	digits, hex := strings.CutPrefix(last, "0x")
	number := !strings.ContainsFunc(last, notDigit) || hex && !strings.ContainsFunc(digits, notHexDigit)
	if len(name) > 253 || len(labels) < 2 || number || slices.ContainsFunc(labels, notHostLabel) {
		return ""
	}
	return strings.ToLower(name)
}

func notHostLabel(label string) bool {
	return label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notLabel)
}

func notDigit(r rune) bool { return r < '0' || '9' < r }

func notHexDigit(r rune) bool { return notDigit(r) && (r < 'a' || 'f' < r) }
