package cmd

// This file opens what a verb works on: the environment, the store, the request's
// options and the keys.

import (
	"errors"
	"fmt"
	"os"

	"cgisession/store"
	"cgisession/store/file"
)

// operate opens the store for an operator and runs the verb. That the data directory is
// missing is said once the verb has answered, or in its own message.
func (c *call) operate(run func() error) error {
	c.watch()
	if err := c.openForOperator(); err != nil {
		return err
	}
	missing := c.store.Missing()
	if errors.Is(missing, store.ErrConfig) {
		return missing
	}
	err := run()
	c.progress.clear() // before a message
	switch {
	case missing == nil:
	case err == nil, silent(err):
		c.warn(missing)
	case exitCode(err) == exitNo:
		err = fmt.Errorf("%w; %w", err, missing)
	}
	return err
}

// openForOperator opens the store, as the owner of the data directory if root calls.
// CGISESSION_LOCK_FD may hold the lock of any session.
func (c *call) openForOperator() error {
	c.anyLock, c.asOwner = true, true
	return c.openStore()
}

// prepare reads the environment, opens the store and reads the request.
func (c *call) prepare() (err error) {
	if err = file.CheckDescriptors(); err != nil {
		return fmt.Errorf("descriptors: %w", err)
	}
	if err = c.openStore(); err != nil {
		return err
	}
	return c.readRequest()
}

// readRequest checks the options that name the request's session, its cookie and its
// lock, and reads the keys.
func (c *call) readRequest() (err error) {
	if err = c.id.check("id"); err != nil {
		return err
	}
	if c.adoptID != "" && !store.ValidID(c.adoptID) {
		return usagef("--adopt-id must be %d to %d characters A-Z a-z 0-9 _ -", store.MinID, store.MaxID)
	}
	if c.keys, err = readKeys(c.secretFile, os.LookupEnv); err != nil {
		return err
	}
	if err = c.checkCookie(); err != nil {
		return err
	}
	c.logInherited()
	return c.store.CheckLock()
}

// openStore reads the environment and opens the store. An operator's verb opens it
// as the owner of the data directory.
func (c *call) openStore() (err error) {
	if err = c.readEnvironment(); err != nil {
		return err
	}
	if err = c.becomeOwner(c.env); err == nil {
		c.store, err = c.open(c.env, c.log)
	}
	return err
}

// openBeside opens the store once more, for other sessions than the request's. The
// lock that was handed down is on none of them.
func (c *call) openBeside() (store.Backend, error) {
	o := c.options
	o.anyLock = true
	return o.open(c.env, c.log)
}

// logInherited logs that another request's variables are ignored.
func (c *call) logInherited() {
	if c.inherited == nil {
		return
	}
	handle := ""
	if id := os.Getenv("CGISESSION_ID"); store.ValidID(id) {
		handle = c.handle(id)
	}
	c.log("ignored the variables of another request", handle)
}
