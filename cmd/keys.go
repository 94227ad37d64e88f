package cmd

// This file reads the keys that sign ids.

import (
	"fmt"

	"cgisession/cookie"
	"cgisession/store"
)

// readKeys returns the keys that sign ids: those of the secret file, else those of
// CGISESSION_SECRET, else nil, and then ids are not signed. A key that is empty, too
// short or unsafe is an error (ErrConfig), never a reason not to sign.
func readKeys(file string, lookup func(string) (string, bool)) (cookie.Keys, error) {
	if set, ok := lookup("CGISESSION_SECRET_FILE"); file == "" && ok && set == "" {
		return nil, fmt.Errorf("%w: CGISESSION_SECRET_FILE is set but empty; name a key file or unset it",
			store.ErrConfig)
	}
	if file != "" {
		keys, err := readKeyFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: key file %s: %w", store.ErrConfig, file, err)
		}
		return keys, nil
	}
	secret, ok := lookup("CGISESSION_SECRET")
	if !ok {
		return nil, nil
	}
	keys, err := cookie.ParseKeys([]byte(secret))
	if err != nil {
		return nil, fmt.Errorf("%w: CGISESSION_SECRET: %w", store.ErrConfig, err)
	}
	return keys, nil
}

func readKeyFile(file string) (cookie.Keys, error) {
	text, err := readSecretFile(file)
	if err != nil {
		return nil, err
	}
	return cookie.ParseKeys(text)
}
