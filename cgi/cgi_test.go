package cgi_test

import (
	"testing"

	"cgisession/cgi"
)

// lookup returns what os.LookupEnv would, of these variables.
func lookup(variables map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		text, ok := variables[name]
		return text, ok
	}
}

// Servers say "https" in many words: "on" (Apache, nginx, lighttpd), "ON" (IIS),
// "1", or the name of a cipher; and "off" or nothing for http.
func TestHTTPS(t *testing.T) {
	for https, want := range map[string]bool{
		"on": true, "ON": true, "On": true, "oN": true, "1": true, "yes": true, "YES": true, "true": true, "TRUE": true,
		"enabled": true, "443": true, "https": true, "TLSv1.3": true, "00": true, "offline": true, " ": true, "2": true,
		"": false, "off": false, "OFF": false, "Off": false, "oFF": false, "0": false,
		"no": false, "NO": false, "No": false, "nO": false, "false": false, "FALSE": false, "False": false, "fAlSe": false,
	} {
		for scheme, over := range map[string]bool{
			"https": true, "HTTPS": true, "Https": true, "hTTPs": true,
			"": false, "http": false, "HTTP": false, "https ": false, "httpss": false, "on": false, "1": false,
		} {
			env, err := cgi.Read(lookup(map[string]string{"HTTPS": https, "REQUEST_SCHEME": scheme}))
			if err != nil || env.HTTPS != (want || over) {
				t.Errorf("HTTPS=%q REQUEST_SCHEME=%q: %v, %v", https, scheme, env.HTTPS, err)
			}
		}
	}
	env, err := cgi.Read(lookup(map[string]string{"HTTP_HTTPS": "on", "HTTP_REQUEST_SCHEME": "https", "HTTP_X_FORWARDED_PROTO": "https", "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTPS/1.1"}))
	if err != nil || env.HTTPS {
		t.Errorf("https by what a client sends, or by no word for it: %v, %v", env.HTTPS, err)
	}
}
