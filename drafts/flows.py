from playwright.sync_api import sync_playwright, expect
out='shots/'
with sync_playwright() as p:
    b = p.chromium.launch(executable_path='/usr/bin/chromium', args=['--no-sandbox'])
    g = b.new_page(viewport=dict(width=1280,height=900)); g.on('console', lambda m: print(m.type, m.text)); g.on('pageerror', lambda e: print('ERR', e))
    g.goto('http://127.0.0.1:8765/')
    g.focus('#prompt'); g.keyboard.type('The green '); g.keyboard.press('Control+Shift+Enter')
    expect(g.locator('.status').first).to_contain_text('writing'); g.wait_for_timeout(500)
    g.screenshot(path=out+'two.png')
    g.keyboard.press('Escape')
    expect(g.locator('.status').first).to_contain_text('stopped'); expect(g.locator('.status').nth(1)).to_contain_text('stopped')
    # keyboard
    for _ in range(40):
        g.keyboard.press('Tab')
        if g.evaluate("document.activeElement.className") == 'unit': break
    print('focused', g.evaluate("document.activeElement.textContent"))
    for k in ['ArrowRight','ArrowRight','ArrowDown','ArrowLeft','End','Home','ArrowRight']: g.keyboard.press(k); print(k, g.evaluate("document.activeElement.dataset.unit"), g.locator('#inspector').is_visible())
    g.keyboard.press('Enter'); print(g.evaluate("document.activeElement.className")); g.keyboard.press('ArrowDown'); g.wait_for_timeout(200); g.screenshot(path=out+'keyboard.png')
    g.keyboard.press('Escape'); print('after esc', g.evaluate("document.activeElement.dataset.unit"), g.locator('#inspector').is_visible())
    g.keyboard.press('Enter'); g.keyboard.press('ArrowDown'); g.keyboard.press('Enter')
    expect(g.locator('.status').nth(1)).to_contain_text('reached')
    print(g.locator('.written').first.text_content()[:10], '|', g.locator('.written').nth(1).text_content()[:10], g.locator('.by-hand').count())
    g.keyboard.press('Escape')
    g.click('#settings summary'); g.fill('[name=temperature]', '1000'); g.click('#write'); g.wait_for_timeout(400); g.screenshot(path=out+'error.png')
    g.click('h1'); g.keyboard.press('?'); g.wait_for_timeout(200); g.screenshot(path=out+'keys.png'); g.keyboard.press('Escape')
    # token
    g.goto('http://127.0.0.1:8766/'); g.wait_for_selector('#access[open]'); g.screenshot(path=out+'access.png')
    g.fill('#token','wrong'); g.keyboard.press('Enter'); expect(g.locator('#access-wrong')).to_be_visible()
    g.fill('#token','secret-secret-secret'); g.keyboard.press('Enter'); expect(g.locator('#model option').first).to_be_attached(); expect(g.locator('#states')).to_be_visible()
    g.reload(); expect(g.locator('#forget')).to_be_visible(); expect(g.locator('#model option').first).to_be_attached()
    # cancel
    g.click('#forget'); g.wait_for_selector('#access[open]'); g.keyboard.press('Escape'); g.wait_for_timeout(300); g.screenshot(path=out+'cancel.png')
    b.close()
