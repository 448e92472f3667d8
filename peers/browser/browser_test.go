// Package browser drives the demo in a headless Chromium: make browser.
//
// UPDATE=1 takes the screenshots docs/demo.png, docs/demo-sign-in.png and docs/admin.png again.
package browser

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	cdp "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const patience = 90 * time.Second

// findChromium returns where Chromium is. The test is left out where there is none.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	fmt.Fprintln(os.Stderr, "LEFT OUT: there is no Chromium to drive. To install it: apt-get install chromium")
	t.Skip("no Chromium; apt-get install chromium")
	return ""
}

// startDemo builds the demo, starts it and returns its address. It must end well.
func startDemo(t *testing.T, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "demo")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join("..", "..", "cmd", "demo")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	demo := exec.Command(binary, append([]string{"-listen", "127.0.0.1:0"}, flags...)...)
	demo.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}
	demo.Stderr = os.Stderr
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop := demo.Process.Kill // Windows knows no other way
		if runtime.GOOS != "windows" {
			stop = func() error { return demo.Process.Signal(syscall.SIGTERM) }
		}
		if err := errors.Join(stop(), demo.Wait()); err != nil && runtime.GOOS != "windows" {
			t.Errorf("the demo did not end well: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	base, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("the demo said %q, %v; want where it listens", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return base
}

// complaints are what the page threw or the browser logged as an error.
type complaints struct {
	mu  sync.Mutex
	all []string
}

func (c *complaints) hear(event any) {
	text := ""
	switch event := event.(type) {
	case *cdp.EventExceptionThrown:
		text = event.ExceptionDetails.Text
		if thrown := event.ExceptionDetails.Exception; thrown != nil {
			text += " " + thrown.Description
		}
	case *log.EventEntryAdded:
		// "Not signed in" is an answer, though browsers log its status as an error.
		if event.Entry.Level == log.EntryLevelError && !strings.Contains(event.Entry.URL, "/api/session") {
			text = event.Entry.Text + " " + event.Entry.URL
		}
	}
	if text != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, text)
	}
}

// openBrowser returns a context for chromedp.Run.
func openBrowser(t *testing.T) (context.Context, *complaints) {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findChromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1080, 1000),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, // root has no sandbox
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-back-forward-cache", true), // chromedp loses a page that is taken from there
		chromedp.Flag("host-resolver-rules", "MAP *.example.test 127.0.0.1"),
		chromedp.WSURLReadTimeout(patience),
	)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	heard := &complaints{}
	if err := chromedp.Listen(ctx, heard.hear); err != nil {
		t.Fatal(err)
	}
	return ctx, heard
}

// get runs an action that answers.
func get[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	got, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// The whole way of a person through the demo.
func TestDemo(t *testing.T) {
	ctx, heard := openBrowser(t)
	base := startDemo(t)
	run := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	text := func(selector string) string {
		t.Helper()
		s := get(t, ctx, chromedp.Text(selector))
		return strings.TrimSpace(s)
	}

	run("open", chromedp.Navigate(base), chromedp.WaitVisible("#welcome"))
	run("sign in", chromedp.Click("#sign-in button"), chromedp.WaitVisible("#name"))
	if got := text("#name"); got != "Ada Lovelace" {
		t.Errorf("signed in: %q, want Ada Lovelace", got)
	}
	if cookies := get(t, ctx, chromedp.Evaluate[string]("document.cookie")); cookies != "" {
		t.Errorf("scripts can read the cookie %q, want none", cookies)
	}

	run("burst", chromedp.Click("#burst button"), chromedp.WaitVisible("#burst-result"),
		chromedp.WaitEnabled("#burst button"))
	for selector, want := range map[string]string{
		"#burst-calls": "10,000", "#burst-ok": "10,000", "#burst-distinct": "2", "#burst-flights": "2",
	} {
		if got := text(selector); got != want {
			t.Errorf("burst: %s = %q, want %q", selector, got, want)
		}
	}
	run("connection", chromedp.Click("#connection button"), chromedp.WaitVisible("#connections-shown"))
	if got := text("#connections"); !strings.Contains(got, "google-oauth2") || !strings.Contains(got, "sha256:") {
		t.Errorf("connections = %q, want google-oauth2 and a fingerprint", got)
	}
	if got := text("#tokens"); strings.Count(got, "sha256:") != 3 {
		t.Errorf("tokens = %q, want three fingerprints", got)
	}
	run("reload", chromedp.Reload(), chromedp.WaitVisible("#name"))
	run("sign out", chromedp.Click("#sign-out"), chromedp.WaitVisible("#welcome"))
	code := get(t, ctx, chromedp.Evaluate[string](`fetch("/api/user").then(r => r.json()).then(b => b.error)`, chromedp.EvalAwaitPromise))
	if code != "no_session" {
		t.Errorf("after signing out: %q, want no_session", code)
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for _, text := range heard.all {
		if !strings.Contains(text, "/api/user") {
			t.Errorf("the browser complained: %s", text)
		}
	}
}

// photograph takes a screenshot for docs/, where UPDATE=1 asks for it.
func photograph(t *testing.T, ctx context.Context, name string, picture chromedp.Action[[]byte]) {
	t.Helper()
	if os.Getenv("UPDATE") == "" {
		return
	}
	if err := os.WriteFile(filepath.Join("..", "..", "docs", name), get(t, ctx, picture), 0o644); err != nil {
		t.Error(err)
	}
}

// A session with a ceiling and tokens of ten seconds: a second burst costs no refresh while the tokens
// last, a later one does.
func TestDemo_controls(t *testing.T) {
	ctx, heard := openBrowser(t)
	base := startDemo(t)
	run := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	// burst returns what it cost, and why.
	burst := func(n string) (refreshes, why string) {
		t.Helper()
		run("burst", chromedp.SetValue(`#burst [name="n"]`, n), chromedp.Click("#burst button"),
			chromedp.WaitVisible("#burst-why"), chromedp.WaitEnabled("#burst button"))
		return strings.TrimSpace(get(t, ctx, chromedp.Text("#burst-flights"))), get(t, ctx, chromedp.Text("#burst-why"))
	}
	signIn := func(ceiling, life string) {
		t.Helper()
		run("sign in", chromedp.WaitVisible("#welcome"), chromedp.SetValue(`#sign-in [name="ceiling"]`, ceiling),
			chromedp.SetValue(`#sign-in [name="token_life"]`, life))
		if ceiling != "none" {
			photograph(t, ctx, "demo-sign-in.png", chromedp.Screenshot("#welcome"))
		}
		run("sign in", chromedp.Click("#sign-in button"), chromedp.WaitVisible("#name"))
	}

	run("open", chromedp.Navigate(base))
	signIn("2m", "5m")
	if got := get(t, ctx, chromedp.Text("#ceiling")); !strings.Contains(got, "in 1:") {
		t.Errorf("ceiling = %q, want less than 1:30", got)
	}
	run("connection", chromedp.Click("#connection button"), chromedp.WaitVisible("#connections-shown"))
	if refreshes, why := burst("10000"); refreshes != "2" || !strings.Contains(why, "shared 2 refreshes") {
		t.Errorf("first burst: %q, %q", refreshes, why)
	}
	photograph(t, ctx, "demo.png", chromedp.FullScreenshot(100))
	refreshes, why := burst("10000")
	if refreshes != "0" || !strings.Contains(why, "in the cache") || !strings.Contains(why, "when the session ends") {
		t.Errorf("second burst: %q, %q; want no refresh, and until when", refreshes, why)
	}

	run("sign out", chromedp.Click("#sign-out"))
	signIn("none", "10s")
	if got := get(t, ctx, chromedp.Text("#ceiling")); !strings.Contains(got, "no ceiling") {
		t.Errorf("ceiling = %q, want none", got)
	}
	if refreshes, why := burst("100"); refreshes != "2" || !strings.Contains(why, "when the first of these tokens expires") {
		t.Errorf("burst of tokens of ten seconds: %q, %q", refreshes, why)
	}
	run("the tokens expire", chromedp.WaitVisible("#tokens tr:nth-child(3) .over"))
	if refreshes, _ := burst("100"); refreshes != "2" {
		t.Errorf("burst after they have expired: %q refreshes, want 2", refreshes)
	}

	// A ceiling that is nearer than those of the page: it ends the session, and the page says so.
	run("sign out", chromedp.Click("#sign-out"), chromedp.WaitVisible("#welcome"))
	status := get(t, ctx, chromedp.Evaluate[int](`fetch("/api/tenant?ceiling=40s", {method: "POST"}).then(r => r.status)`, chromedp.EvalAwaitPromise))
	if status != 200 {
		t.Fatalf("the control answered %d, want 200", status)
	}
	run("the ceiling comes", chromedp.Navigate(base+"/auth/login?return_to=/"), chromedp.WaitVisible("#ended"), chromedp.WaitVisible("#welcome"))
	heard.mu.Lock()
	defer heard.mu.Unlock()
	for _, text := range heard.all {
		t.Errorf("the browser complained: %s", text)
	}
}

// Sign-in and sign-out at providers that the fake tenant plays, each in a way of its own: no logout at
// the provider, tenants below a template, a callback by POST.
func TestDemo_providers(t *testing.T) {
	for _, name := range []string{"google", "entra-organizations", "apple"} {
		t.Run(name, func(t *testing.T) {
			ctx, _ := openBrowser(t)
			base := startDemo(t, "-provider", name)
			if err := chromedp.Do(ctx, chromedp.Navigate(base), chromedp.WaitVisible("#welcome"),
				chromedp.Click("#sign-in button"), chromedp.WaitVisible("#sign-out")); err != nil {
				t.Fatalf("sign in: %v", err)
			}
			sub := get(t, ctx, chromedp.Evaluate[string](`fetch("/api/user").then(r => r.json()).then(u => u.sub)`, chromedp.EvalAwaitPromise))
			if sub == "" {
				t.Error("nobody is signed in")
			}
			if err := chromedp.Do(ctx, chromedp.Click("#sign-out"), chromedp.WaitVisible("#welcome")); err != nil {
				t.Fatalf("sign out: %v", err)
			}
		})
	}
}
