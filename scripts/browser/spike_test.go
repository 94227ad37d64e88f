package browser

import "testing"

func TestSpike3P(t *testing.T) {
	for name, prefs := range map[string]object{"none": nil, "allow": {"profile.cookie_controls_mode": 0}, "block": {"profile.cookie_controls_mode": 1}, "incog": {"profile.cookie_controls_mode": 2},
	"old": {"profile.block_third_party_cookies": false}, "content": {"profile.default_content_setting_values.cookies": 1}} {
		t.Run(name, func(t *testing.T) {
			newBrowser(t)
			b := &browser{driver: chromium.driver, binary: chromium.binary, profile: t.TempDir() + "/p", prefs: prefs}
			if err := b.open(); err != nil { t.Fatal(err) }
			defer b.close()
			w := newWeb(t)
			keepSameSite(t, b, w, "https://app.example.test/")
			b.visit(t, w.at("https://other.test/"))
			b.run(t, requests[4].script, w.at("https://app.example.test/frame"))
			t.Log(sentNames(w.last(t, "https://app.example.test/frame").sent))
		})
	}
}
