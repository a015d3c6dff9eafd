"""A small hand-written Liberty library whose every figure can be checked by hand."""

INV = """
  cell (INV) {
    area : 1.0; cell_leakage_power : 10;
    leakage_power () { when : "!A"; value : 8; }
    leakage_power () { when : "A"; value : 12; }
    pin (A) { direction : input; capacitance : 0.002; rise_capacitance : 0.002; fall_capacitance : 0.001; }
    pin (Y) {
      direction : output; function : "!A"; max_capacitance : 0.1;
      timing () {
        related_pin : "A"; timing_sense : negative_unate;
        cell_rise (t2) { index_1 ("10, 30"); index_2 ("0.001, 0.003"); values ("20, 40", "30, 50"); }
        cell_fall (t2) { index_1 ("10, 30"); index_2 ("0.001, 0.003"); values ("10, 20", "20, 30"); }
        rise_transition (scalar) { values ("10"); }
        fall_transition (scalar) { values ("30"); }
      }
      internal_power () {
        related_pin : "A";
        rise_power (scalar) { values ("0.003"); }
        fall_power (scalar) { values ("-0.001"); }
      }
    }
  }
"""

NAND = """
  cell (NAND) {
    area : 2.0; cell_leakage_power : 20;
    pin (A) { direction : input; capacitance : 0.002;
      internal_power () { when : "!B"; rise_power (scalar) { values ("0.002"); }
                          fall_power (scalar) { values ("0.004"); } } }
    pin (B) { direction : input; capacitance : 0.003; }
    pin (Y) {
      direction : output; function : "!(A & B)"; max_capacitance : 0.1;
      timing () {
        related_pin : "A"; timing_sense : negative_unate; when : "B";
        cell_rise (scalar) { values ("15"); }  cell_fall (scalar) { values ("25"); }
        rise_transition (scalar) { values ("10"); }  fall_transition (scalar) { values ("10"); }
      }
      timing () {
        related_pin : "A"; timing_sense : negative_unate;
        cell_rise (scalar) { values ("12"); }  cell_fall (scalar) { values ("28"); }
        rise_transition (scalar) { values ("10"); }  fall_transition (scalar) { values ("10"); }
      }
      timing () {
        related_pin : "B"; timing_sense : negative_unate;
        cell_rise (scalar) { values ("16"); }  cell_fall (scalar) { values ("18"); }
        rise_transition (scalar) { values ("10"); }  fall_transition (scalar) { values ("10"); }
      }
      internal_power () { related_pin : "A B";
        rise_power (scalar) { values ("0.005"); }  fall_power (scalar) { values ("0.003"); } }
    }
  }
"""

BUF = """
  cell (BUF) {
    area : 1.5; cell_leakage_power : 5;
    pin (A) { direction : input; capacitance : 0.001; }
    pin (Y) {
      direction : output; function : "A"; max_capacitance : 0.1;
      timing () {
        related_pin : "A"; timing_sense : positive_unate;
        cell_rise (scalar) { values ("10"); }  cell_fall (scalar) { values ("10"); }
        rise_transition (scalar) { values ("10"); }  fall_transition (scalar) { values ("10"); }
      }
    }
  }
"""

XOR = """
  cell (XOR) {
    area : 3.0; cell_leakage_power : 30;
    pin (A) { direction : input; capacitance : 0.004; }
    pin (B) { direction : input; capacitance : 0.004; }
    pin (Y) {
      direction : output; function : "A ^ B"; max_capacitance : 0.1;
      timing () {
        related_pin : "A"; timing_sense : non_unate;
        cell_rise (scalar) { values ("31"); }  cell_fall (scalar) { values ("33"); }
        rise_transition (scalar) { values ("10"); }  fall_transition (scalar) { values ("10"); }
      }
      timing () {
        related_pin : "B"; timing_sense : non_unate;
        cell_rise (scalar) { values ("35"); }  cell_fall (scalar) { values ("37"); }
        rise_transition (scalar) { values ("10"); }  fall_transition (scalar) { values ("10"); }
      }
    }
  }
"""

DFF = """
  cell (DFF) {
    area : 6.0; cell_leakage_power : 60;
    ff (IQ, IQN) { next_state : "D"; clocked_on : "CK"; }
    pin (D) { direction : input; capacitance : 0.001;
      timing () { related_pin : "CK"; timing_type : setup_rising;
        rise_constraint (scalar) { values ("7"); }  fall_constraint (scalar) { values ("9"); } }
      internal_power () { when : "CK"; rise_power (scalar) { values ("0.0002"); }
                          fall_power (scalar) { values ("0.0004"); } }
      internal_power () { when : "!CK"; rise_power (scalar) { values ("0.9"); }
                          fall_power (scalar) { values ("0.9"); } }
    }
    pin (CK) { direction : input; clock : true; capacitance : 0.001;
      internal_power () { when : "!D & !Q"; rise_power (scalar) { values ("0.002"); }
                          fall_power (scalar) { values ("0.004"); } }
      internal_power () { when : "D & Q"; rise_power (scalar) { values ("0.004"); }
                          fall_power (scalar) { values ("0.006"); } }
      internal_power () { when : "!D & Q"; rise_power (scalar) { values ("0"); }
                          fall_power (scalar) { values ("0.008"); } }
      internal_power () { when : "D & !Q"; rise_power (scalar) { values ("0"); }
                          fall_power (scalar) { values ("0.010"); } }
    }
    pin (Q) { direction : output; function : "IQ"; max_capacitance : 0.1;
      timing () { related_pin : "CK"; timing_type : rising_edge; timing_sense : non_unate;
        cell_rise (scalar) { values ("50"); }  cell_fall (scalar) { values ("60"); }
        rise_transition (scalar) { values ("10"); }  fall_transition (scalar) { values ("10"); } }
      internal_power () { related_pin : "CK"; rise_power (scalar) { values ("0.006"); }
                          fall_power (scalar) { values ("0.008"); } }
    }
  }
"""

SCAN = """
  cell (SDFF) { area : 9; ff (IQ, IQN) { next_state : "(SE & SI) | (!SE & D)"; clocked_on : "CK"; }
    pin (D) { direction : input; capacitance : 0.001; }
    pin (SE) { direction : input; capacitance : 0.001; }
    pin (SI) { direction : input; capacitance : 0.001; }
    pin (CK) { direction : input; capacitance : 0.001; }
    pin (Q) { direction : output; function : "IQ"; } }
"""

LATCH = """
  cell (LAT) { area : 4; latch (IQ, IQN) { data_in : "D"; enable : "G"; }
    pin (D) { direction : input; capacitance : 0.001; }
    pin (G) { direction : input; capacitance : 0.001; }
    pin (Q) { direction : output; function : "IQ"; } }
"""

HEAD = """
library (mini) {
  delay_model : table_lookup;
  time_unit : "1ps"; voltage_unit : "1V"; current_unit : "1mA";
  leakage_power_unit : "1pW"; pulling_resistance_unit : "1kohm"; capacitive_load_unit (1, pf);
  nom_process : 1; nom_temperature : 25; nom_voltage : 1.0;
  lu_table_template (t2) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("1, 2"); index_2 ("1, 2");
  }
"""


def text(cells: str = INV + BUF + NAND + XOR + DFF + SCAN + LATCH, head: str = HEAD) -> str:
    """The library with these cells."""
    return f"{head}{cells}}}\n"
