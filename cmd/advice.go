package cmd

// This file says what is missing for a safe site, and which line of the configuration
// file gives it.

import (
	"os"
	"strings"

	"cgisession/store"
)

// aboutConfig says which configuration file and section count.
func (c *call) aboutConfig(findings *store.Findings) {
	say := func(format string, a ...any) { findings.Say(store.Fine, "configuration", format, a...) }
	switch {
	case c.configFile == noConfig:
		say("no file is read, since %s says so", c.bindingOf("config").from)
	case c.fileRead == "":
		say("no file is read: there is no %s", configFile)
	case c.site != "":
		say("%s, section [%s], which %s names", c.fileRead, c.site, c.bindingOf("site").from)
	case c.sections > 0:
		say("%s, what stands above the first section; --site or CGISESSION_SITE can name a section", c.fileRead)
	default:
		say("%s", c.fileRead)
	}
}

// advise examines the keys, the cookie and the limits. What is missing is a warning.
// Whether the client's connection is https is what the web server says in this
// process's environment.
func (c *call) advise(findings *store.Findings, dirChosen bool) {
	warn := func(about, text string) { findings.Say(store.Warning, about, "%s", text) }
	if onDisk := c.storeType != "redis" && c.storeType != "memory"; onDisk && !dirChosen {
		warn("directory", c.dataDir+" was not chosen: it is among temporary files, which other programs remove; "+
			"set data-dir = /var/lib/cgisession/%u")
	}
	if c.timeout == 0 {
		warn("timeout", "none: a session lives until cleanup removes it; set timeout = 20m")
	}
	if c.lifetime == 0 {
		warn("lifetime", "none: a session that is used again and again never ends, also one that was stolen; "+
			"set lifetime = 7d")
	}
	c.examineKeys(findings)
	if err := c.checkCookie(); err != nil {
		findings.Say(store.Problem, "cookie", "%v", err)
	}
	if c.useCookies {
		c.adviseOnCookie(func(text string) { warn("cookie", text) })
	}
}

// examineKeys reads the keys.
func (c *call) examineKeys(findings *store.Findings) {
	keys, err := readKeys(c.secretFile, os.LookupEnv)
	c.keys = keys
	switch {
	case err != nil:
		findings.Say(store.Problem, "key file", "%v", err)
	case keys != nil:
		findings.Say(store.Fine, "key file", "%d keys; the first signs", len(keys))
	case c.attributes(c.env.HTTPS).Secure:
		findings.Say(store.Fine, "key file", "none; ids are not signed, and need not be: they are "+
			"160 random bits, and the cookie goes over https only; sign them where --adopt-id takes ids that could be guessed, "+
			"or to end all sessions by a new key")
	default:
		findings.Say(store.Warning, "key file", "none: ids are 160 random bits, which nobody can guess, signed or not; "+
			"but over plain http others can put cookies into a browser, and a signature refuses those that they "+
			"made up; set secret-file = /etc/cgisession.key")
	}
}

// adviseOnCookie says whether the cookie comes back over http and https, and whether
// its name keeps others from planting one.
func (c *call) adviseOnCookie(warn func(text string)) {
	switch https := c.env.HTTPS; {
	case c.secure == "never":
		warn("--cookie-secure never: browsers send it over http too; set cookie-secure = auto, or always under https")
	case c.secure == "auto" && !https:
		warn("--cookie-secure auto goes by the variables HTTPS and REQUEST_SCHEME, which do not say https here; " +
			"under https make the web server set HTTPS=on, or set cookie-secure = always")
	case c.secure == "always" && !https:
		warn("--cookie-secure always: browsers keep the cookie under https only, " +
			"and the variables HTTPS and REQUEST_SCHEME do not say https here; " +
			"over http each visit begins a new session")
	}
	if name, more := c.saferName(); name != "" {
		warn("the name " + c.cookieName + " lets a page on plain http, or on a sister domain, plant one; set cookie-name = " +
			name + more + "; all visitors then begin new sessions")
	}
}

// saferName returns the name that the cookie should have over https, and what else has
// to be set or said; empty if the name is good. A browser takes a cookie whose name
// begins with __Host- over https only, without a domain, and for all paths; one with
// __Secure- over https only (RFC 6265bis §4.1.3).
func (c *call) saferName() (name, more string) {
	if !c.attributes(c.env.HTTPS).Secure {
		return "", ""
	}
	bare, prefixes := c.cookieName, []string{"__host-", "__http-", "__secure-"}
	for i, prefix := range prefixes {
		if lower := strings.ToLower(bare); !strings.HasPrefix(lower, prefix) {
			continue
		}
		if own := c.cookie.Domain != "" || c.cookie.Path != "/"; i == 0 || own {
			return "", ""
		}
		bare = bare[len(prefix):]
	}
	if c.secure == "auto" {
		more = " and cookie-secure = always"
	}
	switch {
	case c.cookie.Domain != "":
		return "__Secure-" + bare, more + ", or __Host-" + bare + " without --cookie-domain"
	case c.cookie.Path != "/":
		return "__Secure-" + bare, more + ", or __Host-" + bare + " without --cookie-path"
	}
	return "__Host-" + bare, more
}
