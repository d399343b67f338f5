//! Configurations that do not do: what is said of them must not hold the secret in them.

use super::Rig;
use super::planted::Way::Stays;

/// Starts with a variable or a file that is wrong; each must be refused, in words.
pub fn configurations(rig: &mut Rig) {
    for name in [
        "WEIGHBRIDGE_UPSTREAM_KEY",
        "WEIGHBRIDGE_UPSTREAM_API_KEY",
        "WEIGHBRIDGE_OTLP_HEADERS",
        "WEIGHBRIDGE_OTLP_TOKEN",
        "WEIGHBRIDGE_LISTEN_PASSWORD",
    ] {
        let key = format!("sk-ant-api03-{}", rig.planted.word(Stays, &format!("variable {name}")));
        for words in [&["check"][..], &["serve"], &["run", "--", "/bin/true"], &["budgets"]] {
            let output = rig.site.command(words).env(name, &key).output().unwrap();
            assert!(!output.status.success(), "{words:?} with {name}");
            rig.sinks.output(&format!("{words:?} with a wrong {name}"), &output);
        }
    }
    let password = rig.planted.word(Stays, "password in upstream.url");
    let url = format!("http://user:{password}@127.0.0.1:9");
    let output =
        rig.site.command(&["check"]).env("WEIGHBRIDGE_UPSTREAM_URL", url).output().unwrap();
    rig.sinks.output("check with a password in upstream.url", &output);
    for line in [
        "[upstream]\nkey = 'SECRET'",
        "[upstream]\nkey = SECRET",
        "[upstream]\nurl = 'http://user:SECRET@127.0.0.1'",
        "[upstream]\nproxy = 'socks://user:SECRET@127.0.0.1'",
        "[upstream]\nproxy = 'user:SECRET@proxy.example:3128'",
        "[upstream]\nproxy = 'http://user:SECRET@proxy example'",
        "[otlp]\nendpoint = 'http://127.0.0.1:4318'\nheaders = 'authorization=SECRET'",
        "[notify.ops]\nurl = 'slack.example/SECRET'",
        "[notify.ops]\nurl = 'http://127.0.0.1/x'\ntoken = 'SECRET'",
    ] {
        let secret = rig.planted.word(Stays, &format!("file with {line:?}"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wrong.toml");
        std::fs::write(&path, line.replace("SECRET", &secret)).unwrap();
        let config = path.to_str().unwrap();
        let mut refused = false;
        for words in [
            &["check", "--config", config][..],
            &["run", "--config", config, "--", "/bin/true"],
            &["budgets", "--config", config],
        ] {
            let output = rig.site.run(words);
            refused |= !output.status.success();
            rig.sinks.output(&format!("{} with {line:?}", words[0]), &output);
        }
        assert!(refused, "{line}");
    }
    rig.sinks.files(&rig.site);
}
