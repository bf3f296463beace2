package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: openapi IMAGE PARTS OUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

// run reads the image and the parts, and writes the document only when all of
// it fits together.
func run(image, parts, out string) error {
	protos, err := readImage(image)
	if err != nil {
		return err
	}
	loaded, err := readParts(parts)
	if err != nil {
		return err
	}
	doc, err := build(protos, loaded)
	if err != nil {
		return err
	}
	return writeDocument(doc, out)
}

// build makes the whole document. It changes the parts that it is given.
func build(protos *protos, parts []part) (object, error) {
	for _, part := range parts {
		if err := protos.annotate(part); err != nil {
			return nil, fmt.Errorf("%s: %w", part.proto, err)
		}
	}
	doc, err := merge(parts)
	if err != nil {
		return nil, err
	}
	protos.constrainComponents(doc)
	if err := shortenOperationIDs(doc); err != nil {
		return nil, err
	}
	return doc, nil
}
