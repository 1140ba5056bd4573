// Other people's verifier on our log: golang.org/x/mod/sumdb/{tlog,note}, as Debian packages it.
//
// main DIR, where DIR was written by `cargo run -p yunei-audit --example conformance_log`.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "go: ", err)
		os.Exit(1)
	}
}

func read(parts ...string) []byte {
	data, err := os.ReadFile(filepath.Join(parts...))
	check(err)
	return data
}

type head struct {
	size int64
	root tlog.Hash
}

// open verifies a checkpoint with the log's key.
func open(data []byte, vkey string) (head, error) {
	verifier, err := note.NewVerifier(vkey)
	check(err)
	n, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return head{}, err
	}
	lines := strings.Split(n.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return head{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return head{size, root}, err
}

// reader reads tiles in the C2SP layout, which is Go's without the height.
type reader struct{ public string }

func (r reader) Height() int { return 8 }

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		path := filepath.Join(r.public, strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

// entries reads every entry of the newest tree from the bundles.
func entries(public string, size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); int64(len(all)) < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		tile := tlog.Tile{H: 8, L: -1, N: n, W: int(width)}
		path := filepath.Join(public, strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1))
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for i := int64(0); i < width; i++ {
			if len(data) < 2 {
				return nil, fmt.Errorf("bundle %d is short", n)
			}
			length := int(binary.BigEndian.Uint16(data))
			if len(data) < 2+length {
				return nil, fmt.Errorf("bundle %d is short", n)
			}
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("bundle %d is long", n)
		}
	}
	return all, nil
}

// whole verifies signature, tiles and entries.
func whole(public, vkey string) (head, error) {
	data, err := os.ReadFile(filepath.Join(public, "checkpoint"))
	if err != nil {
		return head{}, err
	}
	h, err := open(data, vkey)
	if err != nil {
		return h, err
	}
	all, err := entries(public, h.size)
	if err != nil {
		return h, err
	}
	hashes := tlog.TileHashReader(tlog.Tree{N: h.size, Hash: h.root}, reader{public})
	var indexes []int64
	for n := range all {
		indexes = append(indexes, tlog.StoredHashIndex(0, int64(n)))
	}
	stored, err := hashes.ReadHashes(indexes)
	if err != nil {
		return h, err
	}
	for n, entry := range all {
		if stored[n] != tlog.RecordHash(entry) {
			return h, fmt.Errorf("entry %d does not hash to its tile", n)
		}
	}
	return h, nil
}

func proofLines(text string) []tlog.Hash {
	var out []tlog.Hash
	for _, line := range strings.Fields(text) {
		data, err := base64.StdEncoding.DecodeString(line)
		check(err)
		var hash tlog.Hash
		copy(hash[:], data)
		out = append(out, hash)
	}
	return out
}

func main() {
	home := os.Args[1]
	public := filepath.Join(home, "log", "public")
	vkey := strings.TrimSpace(string(read(home, "vkey")))
	h, err := whole(public, vkey)
	check(err)
	fmt.Printf("go: %d entries accepted\n", h.size)

	proofs, err := filepath.Glob(filepath.Join(home, "proof-*"))
	check(err)
	for _, path := range proofs {
		index, err := strconv.ParseInt(strings.TrimPrefix(filepath.Base(path), "proof-"), 10, 64)
		check(err)
		parts := strings.SplitN(string(read(path)), "\n\n", 2)
		lines := strings.SplitN(parts[0], "\n", 3)
		proof := tlog.RecordProof(proofLines(lines[2]))
		of, err := open([]byte(parts[1]), vkey)
		check(err)
		entry := read(home, "entry-"+strconv.FormatInt(index, 10))
		check(tlog.CheckRecord(proof, of.size, of.root, index, tlog.RecordHash(entry)))
		entry[len(entry)-1] ^= 1
		if tlog.CheckRecord(proof, of.size, of.root, index, tlog.RecordHash(entry)) == nil {
			check(fmt.Errorf("%s accepted another entry", path))
		}
	}
	fmt.Printf("go: %d inclusion proofs accepted, and refused for another entry\n", len(proofs))

	chains, err := filepath.Glob(filepath.Join(home, "consistency-*"))
	check(err)
	hashes := tlog.TileHashReader(tlog.Tree{N: h.size, Hash: h.root}, reader{public})
	for _, path := range chains {
		words := strings.Split(filepath.Base(path), "-")
		old, err := strconv.ParseInt(words[1], 10, 64)
		check(err)
		root, err := tlog.TreeHash(old, hashes)
		check(err)
		proof := tlog.TreeProof(proofLines(string(read(path))))
		check(tlog.CheckTree(proof, h.size, h.root, old, root))
		root[0] ^= 1
		if tlog.CheckTree(proof, h.size, h.root, old, root) == nil {
			check(fmt.Errorf("%s accepted another root", path))
		}
	}
	fmt.Printf("go: %d consistency proofs accepted, and refused for another root\n", len(chains))

	// One byte flipped in every file of the newest tree: at its ends, and at places drawn from a fixed seed. A witness's
	// line is of a key that is not given here, so it is passed over (signed-note), and left alone.
	flips, total := 0, 0
	dice := rand.New(rand.NewSource(20261126))
	check(filepath.Walk(public, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() || !newest(path, h.size) {
			return err
		}
		data := read(path)
		total += len(data)
		end := len(data)
		if filepath.Base(path) == "checkpoint" {
			end = len(data) - len(data[strings.LastIndex(string(data[:len(data)-1]), "\n")+1:])
		}
		places := []int{0, end / 2, end - 1}
		for n := 0; n < 400; n++ {
			places = append(places, dice.Intn(end))
		}
		for _, place := range places {
			broken := append([]byte(nil), data...)
			broken[place] ^= 1 << dice.Intn(8)
			check(os.WriteFile(path, broken, 0o644))
			if _, err := whole(public, vkey); err == nil {
				return fmt.Errorf("accepted %s with byte %d flipped", path, place)
			}
			flips++
		}
		return os.WriteFile(path, data, 0o644)
	}))
	_, err = whole(public, vkey)
	check(err)
	fmt.Printf("go: %d flips in %d bytes refused, one at a time\n", flips, total)
}

// newest says whether a file is part of the newest tree, and not a partial tile of an earlier one.
func newest(path string, size int64) bool {
	folder := filepath.Dir(path)
	if !strings.HasSuffix(folder, ".p") {
		return true
	}
	width, err := strconv.ParseInt(filepath.Base(path), 10, 64)
	check(err)
	level := filepath.Base(filepath.Dir(folder))
	for l := 0; strconv.Itoa(l) != level && level != "entries"; l++ {
		size /= 256
	}
	return size%256 == width
}
