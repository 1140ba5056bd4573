//! The `yunei` command.

mod args;
mod audit_args;
mod commands;
#[allow(dead_code, unused_imports, reason = "what only its tests use is beside what the story uses")]
mod demo;
mod face;
mod remote;
#[allow(dead_code, unused_imports, reason = "a kit is more than one command needs")]
mod term;
mod verify_args;

use args::{Cli, Command};
use clap::Parser;
use commands::{Context, Outcome};
use std::process::ExitCode;
use term::Term;
use yunei_engine::DomainError;

fn main() -> ExitCode {
    yunei_sandbox::compile_in_child();
    // A panic's text could hold a value: it is replaced by one sentence.
    std::panic::set_hook(Box::new(|_| {
        use std::io::Write;
        let _ =
            writeln!(std::io::stderr(), "yunei: an internal error; nothing was released / 内部错误，未发布任何结果");
    }));
    let cli = Cli::parse();
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().enable_all().build() else {
        return ExitCode::from(5);
    };
    ExitCode::from(runtime.block_on(run(cli)))
}

async fn run(cli: Cli) -> u8 {
    if let (Command::Demo { rows, keep }, false) = (&cli.command, cli.remote.is_named()) {
        return demo::story::run(*rows, keep.clone(), cli.lang, cli.json).await;
    }
    let (term, remote) = (Term::stdout(cli.lang, cli.json), cli.remote);
    let mut context = Context { home: cli.home, actor: cli.actor, remote, term };
    let outcome: Outcome = match cli.command {
        Command::Demo { .. } => context.here("演示自己建立一个域", "the demo makes a home of its own"),
        Command::Init { name, rules, store, sm2 } => {
            commands::home::init(&mut context, &name, rules.as_deref(), store.as_deref(), sm2).await
        }
        Command::Serve(args) => commands::serve::serve(&mut context, args).await,
        Command::Token(command) => commands::credentials::token(&mut context, command).await,
        Command::Key(command) => commands::credentials::key(&mut context, command).await,
        Command::Institution(command) => commands::home::institution(&mut context, command).await,
        Command::Dataset(command) => commands::items::dataset(&mut context, command).await,
        Command::Model(command) => commands::model::model(&mut context, command).await,
        Command::Product(command) => commands::items::product(&mut context, command).await,
        Command::Grant(command) => commands::home::grant(&mut context, command).await,
        Command::State(command) => commands::lifecycle::state(&mut context, command).await,
        Command::Decision(command) => commands::registers::decide(&mut context, command).await,
        Command::Run(args) => commands::uses::run(&mut context, args).await,
        Command::Verify(args) => commands::verify::verify(&mut context, args).await,
        Command::Issuer(command) => commands::verify::issuer(&mut context, command).await,
        Command::Consent(command) => commands::verify::consent(&mut context, command),
        Command::Budget(command) => commands::home::budget(&mut context, command).await,
        Command::Audit(command) => commands::audit::audit(&mut context, command).await,
        Command::Receipt(command) => commands::proof::receipt(&mut context, command).await,
    };
    let code = match &outcome {
        Ok(()) => 0,
        Err(error) => {
            context.refused(error);
            DomainError::exit_code(error)
        }
    };
    if context.term.finish().is_err() && code == 0 { 1 } else { code }
}
