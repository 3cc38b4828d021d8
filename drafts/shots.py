import sys
from playwright.sync_api import sync_playwright, expect
base = sys.argv[1] if len(sys.argv) > 1 else 'http://127.0.0.1:8765/'
out = 'shots/'
with sync_playwright() as p:
    b = p.chromium.launch(executable_path='/usr/bin/chromium', args=['--no-sandbox'])
    for name, kw in [('light', dict(color_scheme='light', viewport=dict(width=1280, height=900))), ('dark', dict(color_scheme='dark', viewport=dict(width=1280, height=900))), ('phone', dict(color_scheme='light', viewport=dict(width=390, height=844), has_touch=True, is_mobile=True))]:
        c = b.new_context(**kw); g = c.new_page()
        g.on('console', lambda m: print(name, m.type, m.text)); g.on('pageerror', lambda e: print(name, 'ERR', e))
        g.goto(base); expect(g.locator('#model option').first).to_be_attached()
        g.screenshot(path=out + name + '-0.png')
        g.fill('#prompt', 'Once upon a time'); g.fill('[name=max_tokens]', '150') if name == 'x' else None
        g.evaluate("document.querySelector('[name=max_tokens]').value='160'")
        g.keyboard.press('Control+Enter')
        expect(g.locator('.lane .status').first).to_contain_text('reached', timeout=120000)
        u = g.locator('.lane').first.locator('.unit').nth(20)
        if name == 'phone': u.tap()
        else: u.hover()
        g.wait_for_selector('#inspector:not([hidden])'); g.wait_for_timeout(200)
        g.screenshot(path=out + name + '-1.png')
        if name != 'phone': u.click()
        g.locator('#inspector .choice').nth(1).click()
        expect(g.locator('.lane .status').nth(1)).to_contain_text('reached', timeout=120000)
        if g.locator('#keep-prompt').is_visible():
            g.locator('.keep').first.click(); g.wait_for_selector('#states li')
            g.keyboard.type('A café story'); g.keyboard.press('Enter')
            g.locator('.fork').first.click(); g.wait_for_timeout(300)
            g.locator('.pin').first.click(); g.wait_for_timeout(300)
            g.locator('.use').first.click()
        g.wait_for_timeout(300)
        g.screenshot(path=out + name + '-2.png', full_page=True)
        print(name, 'overflow', g.evaluate("document.documentElement.scrollWidth - innerWidth"))
        c.close()
    b.close()
