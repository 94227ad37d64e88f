// Package manual holds the manual, one page a file: cgisession-locks.7.md is page
// cgisession-locks(7). A page is Markdown that has three readers: Text prints it in a
// terminal, go-md2man makes a man page of it, and a web page shows the file. So a page
// names another one as cgisession-locks(7), which all three show in the same way.
//
// The pages list themselves: each file here whose name ends in a section and ".md".
package manual

import (
	"embed"
	"strings"
)

//go:embed *.[1-8].md
var files embed.FS

// program is the name of the main page, and the beginning of the other pages' names.
const program = "cgisession"

// A Page is a page of the manual.
type Page struct {
	Name    string // as cgisession-locks
	Section string // as 7
	Source  string // Markdown
}

// Pages returns all pages, by the names of their files.
func Pages() (pages []Page) {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, entry := range entries {
		source, err := files.ReadFile(entry.Name())
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(entry.Name(), ".md")
		at := strings.LastIndexByte(name, '.')
		pages = append(pages, Page{Name: name[:at], Section: name[at+1:], Source: string(source)})
	}
	return pages
}

// Find returns the page that a topic names: locks, cgisession-locks and
// cgisession-locks(7) are one page, and manual is the main one.
func Find(topic string) (Page, bool) {
	if topic == "manual" {
		topic = program
	}
	for _, p := range Pages() {
		if topic == p.Topic() || topic == p.Name || topic == p.Title() {
			return p, true
		}
	}
	return Page{}, false
}

// Title returns the page's name with its section: cgisession-locks(7).
func (p Page) Title() string { return p.Name + "(" + p.Section + ")" }

// Topic returns the shortest name that Find knows the page by: locks; cgisession for
// the main page.
func (p Page) Topic() string {
	if topic := strings.TrimPrefix(p.Name, program); topic != "" {
		return topic[1:]
	}
	return p.Name
}

// About returns what the page is about: the text after its name under NAME.
func (p Page) About() string {
	_, text, _ := strings.Cut(p.Source, "\n## NAME\n\n"+p.Name+" - ")
	about, _, _ := strings.Cut(text, "\n")
	return about
}

// Text returns the page as a terminal shows it: code is indented instead of fenced,
// headings have no "#", and what is bold has no "**".
func (p Page) Text() string {
	var text strings.Builder
	inCode := false
	for line := range strings.Lines(p.Source) {
		switch {
		case strings.HasPrefix(line, "```"):
			inCode = !inCode
		case inCode && line != "\n":
			text.WriteString("    " + line)
		case inCode:
			text.WriteString(line)
		case strings.HasPrefix(line, "#"):
			text.WriteString(strings.TrimLeft(line, "# "))
		default:
			text.WriteString(strings.ReplaceAll(line, "**", ""))
		}
	}
	return text.String()
}
