package cmd

// This file reads what a script hands over: standard input and files.

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"cgisession/store"
)

// readLimited reads all of r. If that is more than limit bytes, it returns
// ErrTooLarge; one line feed at the end does not count.
func readLimited(r io.Reader, limit int) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, int64(limit)+2))
	if err == nil && len(bytes.TrimSuffix(text, []byte("\n"))) > limit {
		err = fmt.Errorf("%w of %d bytes", store.ErrTooLarge, limit)
	}
	return text, withoutPath(err)
}

// readData reads the JSON object on standard input. Call it before a lock is taken:
// the input may be slow.
func (o *options) readData() (store.Data, error) {
	if o.id.onStdin() {
		return nil, usagef("--id-fd 0: standard input holds the data; give the token on another descriptor")
	}
	text, err := readLimited(os.Stdin, o.maxSize)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	data, err := store.ParseData(text)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return data, nil
}

// readValueFile reads the file of KEY@=FILE. Its last line feed is part of the value.
func (o *options) readValueFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("file %s: %w", path, withoutPath(err))
	}
	defer f.Close()
	text, err := readLimited(f, o.maxSize)
	if err != nil {
		return "", fmt.Errorf("file %s: %w", path, err)
	}
	return string(text), nil
}
