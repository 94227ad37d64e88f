package cookie

import (
	"slices"
	"strings"
)

// The limits of Variants. A web server's buffer for all header lines of an answer may
// have only 4 KiB.
const (
	maxVariants     = 12   // lines
	maxVariantBytes = 1500 // of all lines, each with CRLF
)

// Variants returns header lines, without line ends, that delete other cookies called
// name than the one that [Set] stores with a. A browser keeps one cookie for each Path
// and Domain (RFC 6265 §5.3) and sends all that fit a request. Others come from former
// options, or another page or host has planted them.
//
// host is the server's name and script the path of the script's URL; either may be
// empty or wrong. The lines are for all combinations of these:
//
//   - no Domain, a.Domain, host, and the parent domains of both. A host is left out if
//     it is no name of two labels or more, such as an IP address.
//   - the Paths "/" and a.Path, then the directories of script.
//
// The likeliest come first, at most 12 lines and 1500 bytes. Cookies that browsers would
// drop (see [Check]) are left out, and the one that Set stores.
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

// A variant is what distinguishes cookies of one name in a browser.
type variant struct{ path, domain string }

// variants returns all combinations of paths and domains, the likeliest first.
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

// variantDomains returns the domains to combine, at most maxVariants: empty for a cookie
// without a Domain, the two given ones, and their parents.
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

// directories returns the directories of a script, the nearest first, at most
// maxVariants: all without a slash at the end, which is the default of a cookie that is
// set without a Path (RFC 6265 §5.1.4), then all with one.
func directories(script string) (dirs []string) {
	for _, end := range []string{"", "/"} {
		path := script[:min(len(script), maxAttribute+1)] // browsers ignore a longer one
		for slash := strings.LastIndexByte(path, '/'); slash > 0; slash = strings.LastIndexByte(path, '/') {
			path = path[:slash]
			if len(dirs) < maxVariants && !slices.Contains(dirs, path+end) && CheckPath(path+end) == nil {
				dirs = append(dirs, path+end)
			}
		}
	}
	return dirs
}
