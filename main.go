// Command cgisession gives CGI scripts in any language a server-side session.
package main

import (
	"os"

	"cgisession/cmd"
)

func main() { os.Exit(cmd.Run(os.Args)) }
